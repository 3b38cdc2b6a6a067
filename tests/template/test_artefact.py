"""What `sam build` makes is small, complete, and runs by itself."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from asr_queue import __version__
from tests.sam import ROOT, template, tool

MOST_BYTES = 50_000_000
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
ENVIRONMENT = {
    "ASR_QUEUE_BUCKET": "b",
    "ASR_QUEUE_TABLE": "t",
    "ASR_QUEUE_TRANSCRIBE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/q",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def isolated(artefact: Path, code: str) -> str:
    """Run code that finds the artefact and the standard library, and nothing else."""
    program = f"import sys; sys.path.insert(0, {str(artefact)!r}); {code}"
    command = [sys.executable, "-B", "-I", "-S", "-c", program]
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_small_and_has_no_model_library(built: Path, name: str) -> None:
    files = [file for file in (built / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    packages = {path.name for path in (built / name).iterdir()}
    assert packages >= {"asr_queue", "handlers"}
    assert packages.isdisjoint({"torch", "numpy", "av", "gpu_worker", "tests", "ministack"})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_handler_is_found_in_what_was_built(built: Path, name: str) -> None:
    module, _, handler = FUNCTIONS[name]["Handler"].rpartition(".")
    assert isolated(built / name, f"import {module}; print(callable({module}.{handler}))") == "True"


def test_the_api_has_the_console_with_it(built: Path) -> None:
    console = built / "ApiFunction" / "handlers" / "console"
    assert {path.name for path in console.iterdir()} == {
        path.name for path in (ROOT / "handlers" / "console").iterdir()
    }


def test_a_package_has_the_console_with_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-data"]["handlers"] == ["console/*"]


def test_the_artefact_knows_its_version(built: Path) -> None:
    code = "from handlers.api import app; print(app.version)"
    assert isolated(built / "ApiFunction", code) == __version__


def test_the_functions_get_what_the_project_says_they_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["aws"], *extras["api"]]
    names = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in wanted} - {"asr-queue"}
    lines = (ROOT / "infra" / "function" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-r ../locks/api.txt"]
    assert names <= set(re.findall(r"^([\w.-]+)==", (ROOT / "infra" / "locks" / "api.txt").read_text(), re.MULTILINE))


def test_the_templates_are_without_fault() -> None:
    templates = [str(ROOT / name) for name in ("template.yaml", "infra/worker.yaml", "infra/observability.yaml")]
    linted = subprocess.run(
        [tool("cfn-lint"), "--regions", "us-east-1", "--", *templates],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_the_image_is_described_without_fault() -> None:
    linted = subprocess.run(
        [tool("hadolint"), str(ROOT / "infra" / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )
    assert linted.returncode == 0, linted.stdout
