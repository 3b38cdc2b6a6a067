"""`asr-queue batches`, `cancel` and `retry`, on the real API."""

import json
import time

import pytest

from asr_queue.client import Client, transcribe_item
from tests.cli.conftest import Run
from tests.client.test_real_api import Running, running

__all__ = ["running"]


@pytest.fixture
def told(running: Running) -> dict[str, str]:
    return {"ASR_QUEUE_URL": running.url, "ASR_QUEUE_API_KEY": running.api_key}


def submit(running: Running, *texts: bytes, label: str = "", **more: str) -> str:
    with Client(running.url, running.api_key) as client:
        items = [transcribe_item(client.upload(text).file_id) for text in texts]
        submitted = client.submit(items, label=label, **more)
        while client.status(submitted.batch_id).queued:
            time.sleep(0.01)
    running.clock.advance(1)
    return submitted.batch_id


def test_batches_are_listed_a_line_each_newest_first(run: Run, running: Running, told: dict[str, str]) -> None:
    first = submit(running, b"hello", b"bad", label="my\x1b[2J batch")
    second = submit(running, b"long", priority="high")
    lines = run("batches", **told).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [second, first]
    assert lines[0].endswith("  processing: 0 done, 0 failed, 1 to go  high")
    assert lines[1].endswith("  partial: 1 done, 1 failed, 0 to go  my\N{REPLACEMENT CHARACTER}[2J batch")
    assert run("batches", "--state", "processing", **told).stdout.split()[0] == second
    [line] = run("batches", "--label", "my\x1b[2J batch", "--json", **told).stdout.splitlines()
    assert json.loads(line)["batch_id"] == first


def test_a_batch_and_an_item_are_cancelled(run: Run, running: Running, told: dict[str, str]) -> None:
    batch_id = submit(running, b"long", b"long", b"long")
    with Client(running.url, running.api_key) as client:
        item_id = client.status(batch_id).items[0].item_id
    assert run("cancel", batch_id, item_id, **told).stdout == "1 item cancelled\n"
    assert run("cancel", batch_id, **told).stdout == "2 items cancelled\n"
    assert run("cancel", batch_id, **told).stdout == "0 items cancelled\n"


def test_a_retry_prints_the_id_of_the_new_batch(run: Run, running: Running, told: dict[str, str]) -> None:
    batch_id = submit(running, b"bad", b"hello")
    ran = run("retry", batch_id, **told)
    assert (ran.returncode, ran.stderr) == (0, "1 item submitted once more\n")
    with Client(running.url, running.api_key) as client:
        assert client.wait(ran.stdout.strip(), deadline_s=60).total == 1


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_a_batch_that_is_not_there_ends_with_2(run: Run, told: dict[str, str], command: str) -> None:
    ran = run(command, "nonsense", **told)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "batch_not_found" in ran.stderr


@pytest.mark.parametrize("command", ["batches", "cancel", "retry"])
def test_without_a_server_it_is_said_which_option_names_one(run: Run, command: str) -> None:
    ran = run(command, *([] if command == "batches" else ["x"]))
    assert ran.returncode == 2
    assert "--url" in ran.stderr
