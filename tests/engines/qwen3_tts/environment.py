"""The environment that has the authors' package, and what is made in it."""

import os
import subprocess
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[3] / ".qwen-tts" / "bin" / "python"


def interpreter() -> Path:
    """Return the one that has qwen-tts; without it the test skips, and fails in CI."""
    if not PYTHON.exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"no qwen-tts in {PYTHON}; `make test` puts it there")
    return PYTHON


def run(program: str, *arguments: object) -> None:
    """Run one of the programs of this folder there."""
    command = [interpreter(), "-I", Path(__file__).with_name(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def save_tiny(folder: Path, *how: str) -> Path:
    """Write a tiny checkpoint, of the kind that tiny.py is told, and return its folder."""
    run("tiny.py", folder, *how)
    return folder
