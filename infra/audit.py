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
_PATIENCE_S: Final = 300


def main() -> int:
    """Audit every lock; return 1 where a package is vulnerable, 2 where nothing is known and something must be."""
    unknown, vulnerable = 0, 0
    for lock in sorted(LOCKS.glob("*.txt")):
        packages = audited(lock)
        skipped = [package["name"] for package in packages if "vulns" not in package]
        bad = [package for package in packages if package.get("vulns")]
        for package in bad:
            known = ", ".join(f"{found['id']} (fixed in {found['fix_versions']})" for found in package["vulns"])
            print(f"{lock.name}: {package['name']} {package['version']}: {known}")
        looked_up = len(packages) - len(skipped)
        print(
            f"{lock.name}: {looked_up} packages looked up, {len(bad)} of them vulnerable; {len(skipped)} not looked up"
        )
        unknown, vulnerable = unknown + (not looked_up or bool(skipped)), vulnerable + len(bad)
    if unknown:
        print("The databases of known vulnerabilities did not answer for all: what was not looked up is NOT audited.")
    if vulnerable:
        return 1
    return 2 if unknown and "--online" in sys.argv else 0


def audited(lock: Path) -> list[dict[str, Any]]:
    """Return what the first database that answers says of each package; without `vulns` where it says nothing."""
    packages: list[dict[str, Any]] = []
    for service in _SERVICES:
        command = [str(Path(sys.executable).with_name("pip-audit")), "--requirement", str(lock), "--require-hashes"]
        command += [
            "--disable-pip",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "--vulnerability-service",
            service,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        try:
            packages = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            continue  # it could not even begin: no network
        if any("vulns" in package for package in packages):
            break
    if packages:
        return packages
    names = [line.split("==")[0] for line in lock.read_text().splitlines() if "==" in line]
    return [{"name": name} for name in names]


if __name__ == "__main__":
    sys.exit(main())
