"""The stack as `sam build` makes it, without a container."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[1]
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def tool(name: str) -> str:
    """Return a program of infra/requirements.txt; without it the test is skipped at home, and fails in CI."""
    found = shutil.which(name, path=os.pathsep.join([str(ROOT / ".venv-infra" / "bin"), os.environ["PATH"]]))
    if found is None and "CI" in os.environ:
        pytest.fail(f"{name} is not installed; `make test` does that")
    return found or pytest.skip(f"{name} is not installed; `make test` does that")


def build(to: Path) -> Path:
    """Build for the Python that runs; return the folder with `template.yaml` and a folder a function and stack."""
    interpreters = str(Path(sys.executable).parent)
    command = [tool("sam"), "build", "--build-dir", str(to), "--parameter-overrides", f"PythonRuntime={_PYTHON}"]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([interpreters, os.environ["PATH"]]),
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return to


def template(name: str = "template.yaml") -> dict[str, Any]:
    """Return one of the repository's templates, its short forms (`!Ref`) written out."""
    return dict(yaml_parse((ROOT / name).read_text()))
