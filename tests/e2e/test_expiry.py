"""Expiry, by the clock, with a life of five seconds."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.calls import finished, submit, upload
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
FILE_TTL_S = 5
GONE_WITHIN_S = 60


def objects(stack: Stack) -> list[Path]:
    return [path for path in (stack.data / "aws" / "objects").rglob("*") if path.is_file() and "uploads" in str(path)]


@pytest.fixture
def recording() -> bytes:
    entry = json.loads((RECORDINGS / "recordings.json").read_text())[0]
    return (RECORDINGS / entry["file"]).read_bytes()


def test_files_expire_on_time_and_their_bytes_go(
    up: Callable[..., AbstractContextManager[Stack]], recording: bytes
) -> None:
    with up("--engine", "echo", ASR_QUEUE_FILE_TTL_S=str(FILE_TTL_S)) as stack, stack.client() as api:
        before = time.monotonic()
        file_id = upload(api, recording)
        after = time.monotonic()
        while True:
            asked = time.monotonic()
            answer = api.get(f"/api/v1/files/{file_id}")
            answered = time.monotonic()
            if answer.status_code == 410:
                assert answered - before >= FILE_TTL_S, "too early"
                break
            assert answer.status_code == 200
            assert asked - after < FILE_TTL_S, "too late"
            time.sleep(0.05)
        assert answer.json()["code"] == "file_expired"
        refused = api.post("/api/v1/queue/submit", json={"items": [{"operation": "transcribe", "ref_audio": file_id}]})
        assert refused.status_code == 410

        batch = finished(api, submit(api, [upload(api, recording)]))
        url = batch["items"][0]["url"]
        assert api.get(url).status_code == 200
        time.sleep(FILE_TTL_S)
        assert api.get(url).status_code == 410

        deadline = time.monotonic() + GONE_WITHIN_S
        while objects(stack):
            assert time.monotonic() < deadline, "bytes are left"
            time.sleep(0.5)


def test_an_upload_that_a_queued_item_needs_survives(
    up: Callable[..., AbstractContextManager[Stack]], recording: bytes
) -> None:
    with up("--engine", "echo", ASR_QUEUE_FILE_TTL_S=str(FILE_TTL_S)) as stack, stack.client() as api:
        [worker] = stack.children("gpu_worker")
        worker.suspend()
        file_id = upload(api, recording)
        batch_id = submit(api, [file_id])
        time.sleep(FILE_TTL_S + GONE_WITHIN_S)
        assert api.get(f"/api/v1/files/{file_id}").status_code == 200
        worker.resume()
        batch = finished(api, batch_id)
        assert batch["status"] == "completed"
        assert api.get(f"/api/v1/files/{file_id}").status_code == 410
