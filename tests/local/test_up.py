"""`asr-queue up` as processes, with the engine that needs no weights."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest

from asr_queue.local import environment
from asr_queue.local.folder import FolderInUseError, held
from asr_queue.local.up import StackFailedError, private_stack

RECORDINGS = Path(__file__).parents[1] / "recordings"


@dataclass(frozen=True, slots=True)
class Up:
    """A running system."""

    process: "subprocess.Popen[str]"
    data: Path
    first_line: str

    @property
    def url(self) -> str:
        return self.first_line.split()[1]

    def client(self) -> httpx.Client:
        key = (self.data / "api-key").read_text().strip()
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key}, timeout=30, trust_env=False)

    def pid_of(self, module: str) -> int:
        children = psutil.Process(self.process.pid).children()
        [child] = [child for child in children if child.status() != "zombie" and f"-m {module}" in cmdline(child)]
        return child.pid


def cmdline(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def start(data: Path, port: int = 0, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "asr_queue.local.up", str(port), str(data), "echo", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment.plain(), **variables},
    )


@contextmanager
def up(data: Path, **variables: str) -> Iterator[Up]:
    process = start(data, **variables)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), process.stderr.read()
        yield Up(process, data, line)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()
            process.stderr.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up"), ASR_QUEUE_VISIBILITY_TIMEOUT_S="4", ASR_QUEUE_HEARTBEAT_S="1") as system:
        yield system


def submit(client: httpx.Client, count: int = 1) -> str:
    entry = json.loads((RECORDINGS / "recordings.json").read_text())[0]
    audio = (RECORDINGS / entry["file"]).read_bytes()
    answer = client.post("/api/v1/files/upload", files={"file": (entry["file"], audio)}).raise_for_status()
    items = [{"operation": "transcribe", "ref_audio": answer.json()["file_id"]}] * count
    return str(client.post("/api/v1/queue/submit", json={"items": items}).raise_for_status().json()["batch_id"])


def finished(client: httpx.Client, batch_id: str, within_s: float = 60) -> dict[str, Any]:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            status = client.get(f"/api/v1/queue/status/{batch_id}")
        except httpx.TransportError:  # the API may have been killed by the test
            continue
        if status.status_code == 200 and status.json()["completed"] + status.json()["failed"] == status.json()["total"]:
            return dict(status.json())
        time.sleep(0.1)
    pytest.fail(f"the batch did not finish in {within_s} s")


def test_it_says_ready_once_and_serves(running: Up) -> None:
    with running.client() as client:
        assert finished(client, submit(client))["status"] == "completed"
    assert (running.data / "url").read_text().strip() == running.url


def test_it_says_where_the_console_is_beside_the_one_line_that_programs_read(running: Up) -> None:
    assert running.process.stderr is not None
    assert running.process.stderr.readline() == f"asr-queue: the console is at {running.url}/console\n"


def test_its_secrets_are_its_owners_alone(running: Up) -> None:
    for name in ("api-key", "stack.env"):
        assert stat.S_IMODE((running.data / name).stat().st_mode) == 0o600


def test_everything_listens_on_loopback_alone(running: Up) -> None:
    family = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in family
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_settings_reach_the_stack_and_stack_env_leads_to_it(running: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(line.split("=", 1) for line in (running.data / "stack.env").read_text().splitlines())
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=found["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"], AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"]["VisibilityTimeout"] == "4"


def test_a_second_one_on_the_same_folder_is_refused(running: Up) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "asr_queue.local.up", "0", str(running.data), "echo", "1"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr == f"asr-queue: {running.data} is in use by another `asr-queue up`\n"
    assert (running.data / "url").read_text().strip() == running.url


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = start(tmp_path, port)
        _, said = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert f"port {port} cannot be used" in said


def test_an_engine_that_does_not_exist_ends_it_with_a_reason(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asr_queue.local.up", "0", str(tmp_path), "no-such-engine", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert str(tmp_path / "logs") in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("module", ["gpu_worker", "asr_queue.local.api", "asr_queue.local.emulator"])
def test_killing_any_process_loses_no_item(running: Up, module: str) -> None:
    with running.client() as client:
        batch_id = submit(client, count=40)
        os.kill(running.pid_of(module), signal.SIGKILL)
        assert finished(client, batch_id)["completed"] == 40


def receive(system: Up) -> None:
    """Take what waits in the queue, and never acknowledge it."""
    told = dict(line.split("=", 1) for line in (system.data / "stack.env").read_text().splitlines())
    sqs = boto3.client(
        "sqs",
        endpoint_url=told["AWS_ENDPOINT_URL"],
        region_name=told["AWS_DEFAULT_REGION"],
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
    )
    sqs.receive_message(QueueUrl=told["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"], WaitTimeSeconds=2)


def test_a_message_that_no_worker_survives_ends_its_item_by_the_function_in_the_embedded_aws(tmp_path: Path) -> None:
    told = {"VISIBILITY_TIMEOUT_S": "3", "HEARTBEAT_S": "1", "MAX_RECEIVES": "1"}
    with up(tmp_path, **{f"ASR_QUEUE_{name}": value for name, value in told.items()}) as system:
        with system.client() as client:
            worker = system.pid_of("gpu_worker")
            os.kill(worker, signal.SIGSTOP)
            batch_id = submit(client)
            receive(system)  # as a worker that dies with it in hand; or the stopped one's own long poll has got it
            os.kill(worker, signal.SIGKILL)
            status = finished(client, batch_id)
        assert status["status"] == "error"
        assert "attempt" in status["items"][0]["error"]


def test_a_killed_system_leaves_nothing_running_and_the_next_one_finishes_its_work(tmp_path: Path) -> None:
    with up(tmp_path, ASR_QUEUE_VISIBILITY_TIMEOUT_S="4", ASR_QUEUE_HEARTBEAT_S="1") as first:
        family = psutil.Process(first.process.pid).children(recursive=True)
        with first.client() as client:
            batch_id = submit(client, count=100)
        first.process.kill()
        _, alive = psutil.wait_procs(family, timeout=60)
        assert [cmdline(process) for process in alive] == []
    with up(tmp_path) as second, second.client() as client:
        assert finished(client, batch_id)["completed"] == 100
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(60) == 0
    assert not (tmp_path / "url").exists()


def test_the_folder_is_free_again_after_the_end(tmp_path: Path) -> None:
    with held(tmp_path) as folder:
        key = folder.api_key()
    with held(tmp_path) as folder:
        assert folder.api_key() == key


def test_a_private_stack_lives_for_its_block(tmp_path: Path) -> None:
    with private_stack(tmp_path, engine="echo") as (url, api_key):
        family = [child for child in psutil.Process().children(recursive=True) if str(tmp_path) in cmdline(child)]
        assert family
        with httpx.Client(base_url=url, headers={"X-API-Key": api_key}, trust_env=False) as client:
            assert finished(client, submit(client))["status"] == "completed"
        with pytest.raises(FolderInUseError), private_stack(tmp_path, engine="echo"):
            pass
    assert not [child for child in family if child.is_running()]


def test_a_private_stack_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(StackFailedError, match=r"worker-1\.log\): .*'no-such-engine'; known are: echo"),
        private_stack(tmp_path, engine="no-such-engine"),
    ):
        pass


def test_so_does_one_whose_model_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_QUEUE_MODEL", str(tmp_path / "no-model"))
    with (
        pytest.raises(StackFailedError, match=r"worker-1\.log\): .*EngineLoadError: .*no-model"),
        private_stack(tmp_path),
    ):
        pass
