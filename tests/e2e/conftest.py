"""Whole systems: the real `asr-queue up`, with its own processes, on a free port and a folder of its own."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config

from asr_queue.local import environment

_STOP_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `asr-queue up`."""

    url: str
    api_key: str
    data: Path
    process: "subprocess.Popen[str]"

    def client(self) -> httpx.Client:
        """Return an HTTP client with the key."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": self.api_key}, timeout=30, trust_env=False)

    def children(self, part_of_command: str) -> list[psutil.Process]:
        """Return the system's processes whose command line has this in it."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                if part_of_command in " ".join(child.cmdline()):
                    found.append(child)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def environment(self) -> dict[str, str]:
        """Return what leads to the embedded AWS."""
        lines = (self.data / "stack.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def aws(self, service: str) -> Any:
        """Return a client of boto3's for the embedded AWS."""
        names = self.environment()
        return boto3.client(
            service,
            endpoint_url=names["AWS_ENDPOINT_URL"],
            region_name=names["AWS_DEFAULT_REGION"],
            aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
            config=Config(signature_version="s3v4") if service == "s3" else None,
        )


@contextmanager
def running(data: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run `asr-queue up` until the block ends; then stop it as a service manager would."""
    command = [sys.executable, "-m", "asr_queue", "up", "--port", "0", "--data", str(data), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**environment.plain(), **(settings or {})}
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), _logs(data)
        yield Stack(line.split()[1], (data / "api-key").read_text().strip(), data, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.stdout.close()


def _logs(data: Path) -> str:
    return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted((data / "logs").glob("*.log")))


@pytest.fixture(scope="session")
def whisper_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One system with the CPU engine, shared by the tests that only use it."""
    with running(tmp_path_factory.mktemp("whisper"), "--engine", "whisper") as stack:
        yield stack


@pytest.fixture
def up(tmp_path: Path) -> Callable[..., AbstractContextManager[Stack]]:
    """Start systems of a test's own: `with up("--engine", "echo", ASR_QUEUE_FILE_TTL_S="5") as stack`."""

    def start(*arguments: str, **settings: str) -> AbstractContextManager[Stack]:
        return running(tmp_path / "data", *arguments, settings=settings)

    return start
