"""Look up the locked packages among the known vulnerabilities (`make audit`).

Without a way to the databases nothing can be looked up; then this says so, and fails only where it is told that they
must be there (`--online`).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LOCKS: Final = Path(__file__).parent / "locks"
_SERVICES: Final = ("pypi", "osv")
_PATIENCE_S: Final = 90
_REQUEST_S: Final = 10


def main() -> int:
    """Audit every lock; return 1 where a package is vulnerable, 2 where nothing is known and something must be."""
    vulnerable = unknown = 0
    services = list(_SERVICES)
    for lock in sorted(LOCKS.glob("*.txt")):
        packages = looked_up(lock, services)
        bad = [package for package in packages if package["vulns"]]
        for package in bad:
            known = ", ".join(f"{found['id']} (fixed in {found['fix_versions']})" for found in package["vulns"])
            print(f"{lock.name}: {package['name']} {package['version']}: {known}")
        missing = sum("==" in line for line in lock.read_text().splitlines()) - len(packages)
        print(
            f"{lock.name}: {len(packages)} packages looked up, {len(bad)} of them vulnerable; {missing} NOT looked up"
        )
        vulnerable, unknown = vulnerable + len(bad), unknown + missing
    if unknown:
        print("No database of known vulnerabilities answered for those: they are not audited.")
    if vulnerable:
        return 1
    return 2 if unknown and "--online" in sys.argv else 0


def looked_up(lock: Path, services: list[str]) -> list[dict[str, Any]]:
    """Return what the first database that answers says of each package that it knows.

    Args:
        services: names of the databases; those that do not answer are taken out, and asked no more.
    """
    while services:
        found = [package for package in _asked(lock, services[0]) if "vulns" in package]
        if found:
            return found
        services.pop(0)
    return []


def _asked(lock: Path, service: str) -> list[dict[str, Any]]:
    command = [str(Path(sys.executable).with_name("pip-audit")), "--requirement", str(lock), "--require-hashes"]
    command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command += ["--vulnerability-service", service, "--timeout", str(_REQUEST_S)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []  # no network, or one that leads nowhere
    return packages


if __name__ == "__main__":
    sys.exit(main())
