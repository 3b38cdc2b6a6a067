"""Emulators that a test starts, kills and starts again."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from asr_queue.local import embedded, environment
from asr_queue.local.processes import Child, Lifeline


@dataclass(frozen=True, slots=True)
class Emulator:
    """One life of an emulator."""

    url: str
    child: Child
    lifeline: Lifeline

    def client(self, service: str) -> Any:
        names = environment.for_clients(self.url)
        return boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
            region_name=names["AWS_REGION"],
            config=Config(signature_version="s3v4", retries={"max_attempts": 0}) if service == "s3" else None,
        )

    def deploy(self, **parameters: str) -> embedded.Resources:
        return embedded.deploy(self.url, {"Triggers": "DISABLED", **parameters}, lifeline=self.lifeline)

    def end(self) -> int | None:
        """End it as the supervisor does; return its exit status."""
        self.child.ask_to_end()
        assert self.child.wait(self.child.program.patience_s)
        return self.child.exit_status()


@contextmanager
def emulator(folder: Path, **variables: str) -> Iterator[Emulator]:
    with Lifeline() as lifeline, embedded.listener(0) as listening:
        program = embedded.program(listening, folder / "aws")
        program = replace(program, environment={**program.environment, **variables})
        child = Child(program, lifeline=lifeline, logs=folder)
        try:
            url = embedded.url_of(listening)
            with urllib.request.urlopen(f"{url}/_ministack/ready", timeout=60) as answer:
                assert answer.status == 200
            yield Emulator(url, child, lifeline)
        finally:
            child.sweep_up()
