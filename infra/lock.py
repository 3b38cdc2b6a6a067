"""Write the locks: every file that the functions and the worker's image may install, by its SHA-256.

`make lock`, after a change of pyproject.toml or constraints.txt; `infra/lock.py qwen3` for one more engine, where its
libraries come from. The versions are those of constraints.txt, all files of each are listed, and no registry is named:
the same locks come out wherever a registry has the same files.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ROOT / "infra" / "locks"
LOCKED: Final = ("api", "whisper")
"""Extras of pyproject.toml that something is deployed with: the functions', and the engine of the worker's image."""
_OPTIONS: Final = (
    "--quiet",
    "--rebuild",
    "--generate-hashes",
    "--strip-extras",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
)
_OWN: Final = re.compile(r"asr-queue\[([\w,-]+)\]")


def requirements(extra: str) -> list[str]:
    """Return what an extra asks for, and the extras that it names, as pyproject.toml writes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = list(project["dependencies"])
    names = [extra]
    while names:
        for wanted in project["optional-dependencies"][names.pop()]:
            own = _OWN.fullmatch(wanted)
            if own is None:
                found.append(wanted)
            else:
                names += own[1].split(",")
    return sorted(set(found))


def main() -> int:
    """Write those that are named, or all that are kept."""
    for extra in sys.argv[1:] or LOCKED:
        with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
            file.write("\n".join(requirements(extra)) + "\n")
            file.flush()
            command = [str(Path(sys.executable).with_name("pip-compile")), *_OPTIONS]
            command += ["--constraint", str(ROOT / "constraints.txt"), "--output-file", str(LOCKS / f"{extra}.txt")]
            subprocess.run([*command, file.name], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
