"""Expiry, by the clock, with a life of five seconds."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.e2e.calls import finished, submit, upload
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
FILE_TTL_S = 5
GONE_WITHIN_S = 60


def uploads(stack: Stack) -> str:
    """Return the paths of all uploads whose bytes are there."""
    return " ".join(str(path) for path in (stack.data / "aws" / "objects").rglob("*") if path.is_file())


def test_files_expire_on_time_and_their_bytes_go_unless_an_item_needs_them(
    up: Callable[..., AbstractContextManager[Stack]],
) -> None:
    entry = json.loads((RECORDINGS / "recordings.json").read_text())[0]
    recording = (RECORDINGS / entry["file"]).read_bytes()
    with up("--engine", "echo", ASR_QUEUE_FILE_TTL_S=str(FILE_TTL_S)) as stack, stack.client() as api:
        [worker] = stack.children("gpu_worker")
        worker.suspend()
        needed = upload(api, recording)
        batch_id = submit(api, [needed])

        before = time.monotonic()
        file_id = upload(api, recording)
        after = time.monotonic()
        while True:
            asked = time.monotonic()
            answer = api.get(f"/api/v1/files/{file_id}")
            if answer.status_code == 410:
                assert time.monotonic() - before >= FILE_TTL_S, "too early"
                break
            assert answer.status_code == 200
            assert asked - after < FILE_TTL_S, "too late"
            time.sleep(0.05)
        assert answer.json()["code"] == "file_expired"
        items = [{"operation": "transcribe", "ref_audio": file_id}]
        assert api.post("/api/v1/queue/submit", json={"items": items}).status_code == 410

        deadline = time.monotonic() + GONE_WITHIN_S
        while file_id in uploads(stack):
            assert time.monotonic() < deadline, "bytes are left"
            time.sleep(0.5)
        assert needed in uploads(stack)
        assert api.get(f"/api/v1/files/{needed}").status_code == 200

        worker.resume()
        batch = finished(api, batch_id)
        assert batch["status"] == "completed"
        assert api.get(f"/api/v1/files/{needed}").status_code == 410
        url = batch["items"][0]["url"]
        assert api.get(url).status_code == 200
        time.sleep(FILE_TTL_S)
        assert api.get(url).status_code == 410
