"""Recordings dropped into the bucket of a whole system."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from asr_queue.local import environment
from tests.e2e.calls import finished
from tests.e2e.conftest import Stack, running

RECORDINGS = Path(__file__).parents[1] / "recordings"
COUNT = 200
PATIENCE_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:

    with running(tmp_path_factory.mktemp("drop"), "--engine", "echo") as stack:
        yield stack


def drop(stack: Stack, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "asr_queue", "drop", "--data", str(stack.data), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment.plain(), check=False)


def note(stack: Stack, key: str) -> dict[str, Any]:
    """Wait for a note beside a dropped object."""
    s3, bucket = stack.aws("s3"), stack.environment()["ASR_QUEUE_BUCKET"]
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return dict(json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
        except ClientError:
            assert time.monotonic() < until_s, f"nothing at {key}"
            time.sleep(0.2)


def routes(stack: Stack) -> set[str]:
    """Return what the API was asked for."""
    lines = [line for line in (stack.data / "logs" / "api.log").read_text().splitlines() if "request_served" in line]
    return {str(json.loads(line)["route"]) for line in lines}


def test_a_folder_of_real_recordings_is_transcribed_with_no_request_made(stack: Stack, tmp_path: Path) -> None:
    entries = json.loads((RECORDINGS / "recordings.json").read_text())
    for number in range(COUNT):
        source = RECORDINGS / entries[number % len(entries)]["file"]
        (tmp_path / f"{number:03} ü+{source.name}").symlink_to(source)
    ran = drop(stack, tmp_path, "--timestamps", "--label", "two hundred")
    assert ran.returncode == 0, ran.stderr
    [batch_id] = ran.stdout.split()
    assert routes(stack) <= {"/api/v1/health"}
    with stack.client() as api:
        batch = finished(api, batch_id)
        assert (batch["status"], batch["completed"], batch["label"]) == ("completed", COUNT, "two hundred")
        assert [Path(item["custom_id"]).name[:3] for item in batch["items"]] == [f"{n:03}" for n in range(COUNT)]
        for item in batch["items"]:
            transcript = api.get(item["url"]).json()
            assert transcript["text"]
            assert transcript["timestamps"]


def test_one_event_delivered_three_times_makes_one_batch(stack: Stack) -> None:
    s3, sqs, names = stack.aws("s3"), stack.aws("sqs"), stack.environment()
    folder = "drop/local/three times/"
    manifest = folder + "m.manifest.jsonl"
    recording = next(RECORDINGS.glob("librivox-0880*")).read_bytes()
    s3.put_object(Bucket=names["ASR_QUEUE_BUCKET"], Key=folder + "a b.flac", Body=recording)
    line = json.dumps({"operation": "transcribe", "ref_audio": "a b.flac"})
    s3.put_object(Bucket=names["ASR_QUEUE_BUCKET"], Key=manifest, Body=line.encode())
    batch_id = note(stack, manifest + ".receipt.json")["batch_id"]
    before = batches(stack)
    [queue] = [url for url in sqs.list_queues()["QueueUrls"] if "EventQueue" in url]
    again = {"Records": [{"s3": {"object": {"key": manifest.replace(" ", "+")}}}]}
    for _ in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(again))
    until_s = time.monotonic() + PATIENCE_S
    while waiting(sqs, queue):
        assert time.monotonic() < until_s
        time.sleep(0.2)
    assert batches(stack) == before
    assert note(stack, manifest + ".receipt.json")["batch_id"] == batch_id
    with stack.client() as api:
        assert finished(api, batch_id)["completed"] == 1


def waiting(sqs: Any, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(map(int, sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"].values()))


def batches(stack: Stack) -> set[str]:
    pages = stack.aws("dynamodb").get_paginator("scan").paginate(TableName=stack.environment()["ASR_QUEUE_TABLE"])
    keys = [(row["pk"]["S"], row["sk"]["S"]) for page in pages for row in page["Items"]]
    return {pk for pk, sk in keys if pk.startswith("BATCH#") and sk == "META"}


def test_a_bad_manifest_leaves_a_readable_error_and_a_recording_needs_none(stack: Stack) -> None:
    s3, bucket = stack.aws("s3"), stack.environment()["ASR_QUEUE_BUCKET"]
    bad = "drop/local/bad.manifest.json"
    s3.put_object(Bucket=bucket, Key=bad, Body=b'{"items": [{"operation": "transcribe", "ref_audio": "no.wav"}]}')
    problem = note(stack, bad + ".error.json")
    assert (problem["code"], problem["status"]) == ("dropped_object_missing", 404)
    assert "drop/local/no.wav" in problem["detail"]
    good = "drop/local/audio/English/one moment.flac"
    s3.put_object(Bucket=bucket, Key=good, Body=next(RECORDINGS.glob("librivox-0880*")).read_bytes())
    with stack.client() as api:
        assert finished(api, note(stack, good + ".receipt.json")["batch_id"])["status"] == "completed"


def test_the_command_waits_and_tells_what_failed(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "good.flac").symlink_to(next(RECORDINGS.glob("librivox-0880*")))
    (tmp_path / "broken.wav").write_bytes(b"no audio at all")
    ran = drop(stack, tmp_path, "--wait")
    assert ran.returncode == 1, ran.stderr
    assert "1 done, 1 failed" in ran.stderr
    assert "broken.wav: " in ran.stderr


def test_the_command_says_why_nothing_could_be_dropped(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert "unknown_tenant" in drop(stack, tmp_path, "--tenant", "nobody").stderr
    ran = drop(stack, tmp_path / "nothing")
    assert ran.returncode == 2
    assert "No such file" in ran.stderr
