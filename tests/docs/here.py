"""Where a page's reader works when a test reads it: the one place that knows what is called otherwise here."""

import dataclasses
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asr_queue.local import embedded, environment
from asr_queue.local.processes import Child, Lifeline
from tests.docs import samples
from tests.docs.pages import ROOT
from tests.docs.session import Session

_NOT_THE_READERS = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".qwen-asr",
    ".qwen-tts",
    ".aws-sam",
    ".asr-queue",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "build",
    "dist",
    "*.egg-info",
)
_SOURCES_OF_INSTALLATIONS = ("pyproject.toml", "constraints.txt", "infra/requirements.txt")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# What the reader of a page that starts no system has: one that runs in the folder, its names, and a tenant.
GIVEN = """
set -a
. .asr-queue/stack.env
URL=$(cat .asr-queue/url)
KEY=$(cat .asr-queue/api-key)
BUCKET=$ASR_QUEUE_BUCKET
set +a
asr-queue keys create --tenant acme --name laptop
"""


def said_here(text: str, *, port: int) -> str:
    """Return what a page says as it has to be said here."""
    for there, here in (
        (r"127\.0\.0\.1:8000\b", f"127.0.0.1:{port}"),
        (r"--port 8000\b", f"--port {port}"),
        (r"https://asr\.example\.com\b", f"http://127.0.0.1:{port}"),
    ):
        text = re.sub(there, here, text)
    return text


def after_each_step(account: str) -> str:
    """Return what the shell does after each step of a page that deploys.

    The embedded AWS names an API by a host that only curl finds; it has a path to the same one.
    """
    host = account.removeprefix("http://127.0.0.1")
    return (
        'case "${ASR_QUEUE_URL:-}" in http://*.execute-api.localhost' + host + ") "
        "ASR_QUEUE_URL=${ASR_QUEUE_URL#http://}; "
        f"export ASR_QUEUE_URL='{account}/_aws/execute-api/'" + "${ASR_QUEUE_URL%%.*}/\\$default;; esac"
    )


@contextmanager
def reader(folder: Path, *, port: int, account: str) -> Iterator[Session]:
    """Give a reader a clone of the repository with recordings of its own, and a terminal, for the block.

    Args:
        folder: empty.
        port: what it has in the place of port 8000.
        account: URL of the embedded AWS that is its AWS account.
    """
    clone = folder / "asr-queue"
    shutil.copytree(ROOT, clone, ignore=_NOT_THE_READERS, symlinks=True)
    for source in _SOURCES_OF_INSTALLATIONS:
        os.utime(clone / source, (0, 0))  # so that `make` finds installed what is installed
    for name, there in ((".venv", Path(sys.prefix)), (".venv-infra", ROOT / ".venv-infra")):
        if not (there / ".installed").exists():
            complain = pytest.fail if "CI" in os.environ else pytest.skip
            complain(f"{name} was not made by `make install-dev`")
        (clone / name).symlink_to(there.resolve())
    with (clone / "samconfig.toml").open("a") as file:
        file.write(
            f'\n[default.global.parameters]\nparameter_overrides = "PythonRuntime={_PYTHON} Monitoring=DISABLED"\n'
        )
    samples.lay(clone)
    scratch = folder / "steps"
    scratch.mkdir()
    session = Session(clone, scratch, _environment(clone, port, account))
    try:
        yield session
    finally:
        session.close()


def _environment(clone: Path, port: int, account: str) -> dict[str, str]:
    """Return the environment of a terminal: its AWS account is the embedded one, and nothing else is set for us."""
    ours = ("ASR_QUEUE_", "MAKE", "MFLAGS", "PYTEST_")
    kept = {name: value for name, value in environment.plain().items() if not name.startswith(ours)}
    path = (Path(sys.prefix) / "bin", clone / ".venv-infra" / "bin", kept["PATH"])
    return {
        **kept,
        **environment.for_clients(account),
        "PATH": os.pathsep.join(map(str, path)),
        "PYTHONPATH": str(clone),
        "PORT": str(port),  # for `make up`
        "SAM_CLI_TELEMETRY": "0",
        "AWS_PAGER": "",
    }


@contextmanager
def aws_account(folder: Path) -> Iterator[str]:
    """Run an embedded AWS with nothing in it for the block; yield its URL, which its names have too."""
    with Lifeline() as lifeline, embedded.listener(0) as listening:
        url = embedded.url_of(listening)
        program = embedded.program(listening, folder)
        own_port = {"GATEWAY_PORT": str(listening.getsockname()[1])}
        program = dataclasses.replace(program, environment={**program.environment, **own_port})
        child = Child(program, lifeline=lifeline, logs=folder)
        try:
            yield url
        finally:
            child.ask_to_end()
            child.wait(program.patience_s)
            child.sweep_up()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
