"""`kill -9` of anything, at any moment of a batch: every item ends done, once, with one transcript."""

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import boto3
import httpx
import psutil

from tests.e2e.calls import finished, submit, upload
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
ITEMS = 60
KILLS = 9
TARGETS = ("gpu_worker", "asr_queue.local.api", "asr_queue.local.emulator")


def kill_in_turn(stack: Stack, done: threading.Event, killed: list[str]) -> None:
    chance = random.Random(7)
    for number in range(KILLS):
        if done.wait(chance.uniform(0.3, 2.5)):
            return
        target = TARGETS[number % len(TARGETS)]
        for process in stack.children(target)[:1]:
            process.kill()
            killed.append(target)


def test_sixty_items_survive_the_death_of_every_process(
    up: Callable[..., AbstractContextManager[Stack]],
) -> None:
    manifest = json.loads((RECORDINGS / "recordings.json").read_text())[:ITEMS]
    with up("--engine", "whisper", ASR_QUEUE_VISIBILITY_TIMEOUT_S="5") as stack, stack.client() as api:
        file_ids = [upload(api, (RECORDINGS / entry["file"]).read_bytes(), entry["file"]) for entry in manifest]
        done, killed = threading.Event(), list[str]()
        killer = threading.Thread(target=kill_in_turn, args=(stack, done, killed))
        batch_id = submit(api, file_ids)
        killer.start()
        try:
            batch = finished(api, batch_id, patience_s=240)
        finally:
            done.set()
            killer.join()
        assert len(killed) >= 3
        assert batch["status"] == "completed", [item["error"] for item in batch["items"]]
        assert batch["completed"] == batch["total"] == len(file_ids)
        transcripts = [fetched(api, item["url"]) for item in batch["items"]]
        assert all(transcript["text"] for transcript in transcripts)
        time.sleep(1)
        again = finished(api, batch_id)
        assert again == batch, "a finished batch changed"
        assert queue_is_empty(stack), "a message outlived its item"


def fetched(api: httpx.Client, url: str) -> dict[str, str]:
    for _ in range(50):
        try:
            answer = api.get(url)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            return dict(answer.json())
        time.sleep(0.2)
    raise AssertionError(f"{url} cannot be fetched")


def queue_is_empty(stack: Stack, within_s: float = 40) -> bool:
    environment = stack.environment()
    sqs = boto3.client(
        "sqs",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        counts = sqs.get_queue_attributes(QueueUrl=environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"], AttributeNames=names)[
            "Attributes"
        ]
        if all(counts[name] == "0" for name in names):
            return True
        time.sleep(0.5)
    return False


def test_nothing_outlives_the_system(up: Callable[..., AbstractContextManager[Stack]]) -> None:
    with up("--engine", "echo", "--workers", "2") as stack:
        family = psutil.Process(stack.process.pid).children(recursive=True)
        assert len(stack.children("gpu_worker")) == 2
    _gone, alive = psutil.wait_procs(family, timeout=30)
    # Where nobody reaps orphans, as in a container without an init, the dead stay listed.
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
