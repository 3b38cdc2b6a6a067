"""Whole systems: the real `asr-queue up`, with its own processes, on a free port and a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

_READY_TIMEOUT_S = 90
_STOP_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `asr-queue up`."""

    url: str
    api_key: str
    data: Path
    process: "subprocess.Popen[str]"

    def client(self) -> httpx.Client:
        """Return an HTTP client with the key."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.api_key}, timeout=30)

    def children(self, part_of_command: str) -> list[psutil.Process]:
        """Return the system's processes whose command line has this in it."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if part_of_command in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found


@contextmanager
def running(data: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run `asr-queue up` until the block ends; then stop it as a service manager would."""
    command = [sys.executable, "-m", "asr_queue", "up", "--port", "0", "--data", str(data), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}, start_new_session=True
    )
    try:
        yield Stack(url=_ready(process, data), api_key=(data / "api-key").read_text().strip(), data=data, process=process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: "subprocess.Popen[str]", data: Path) -> str:
    assert process.stdout is not None
    watchdog = psutil.Process(process.pid)
    for line in process.stdout:
        if line.startswith("ready "):
            return line.split()[1]
    watchdog.wait(_STOP_TIMEOUT_S)
    logs = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted((data / "logs").glob("*.log")))
    pytest.fail(f"`asr-queue up` ended with {process.wait()} before it was ready\n{logs}")


@pytest.fixture(scope="session")
def whisper_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One system with the CPU engine, shared by the tests that only use it."""
    with running(tmp_path_factory.mktemp("whisper"), "--engine", "whisper") as stack:
        yield stack


@pytest.fixture
def up(tmp_path: Path) -> Callable[..., "_Running"]:
    """Start systems of a test's own: `with up("--engine", "echo") as stack`."""

    def start(*arguments: str, folder: str = "data", **environment: str) -> "_Running":
        return running(tmp_path / folder, *arguments, environment=environment)

    return start


_Running = "contextmanager[Stack]"
