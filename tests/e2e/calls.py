"""The contract's calls, as tests make them."""

import time
from typing import Any

import httpx

PATIENCE_S = 180


def upload(api: httpx.Client, data: bytes, name: str = "clip.wav") -> str:
    """Upload bytes; return the file id."""
    answer = api.post("/api/v1/files/upload", files={"file": (name, data)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["file_id"])


def submit(api: httpx.Client, file_ids: list[str], **fields: object) -> str:
    """Submit one item a file; return the batch id."""
    items = [{"operation": "transcribe", "ref_audio": file_id, **fields} for file_id in file_ids]
    answer = api.post("/api/v1/queue/submit", json={"label": "test", "items": items})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["batch_id"])


def status(api: httpx.Client, batch_id: str) -> dict[str, Any]:
    """Poll once, and check that the answer agrees with itself."""
    answer = api.get(f"/api/v1/queue/status/{batch_id}")
    assert answer.status_code == 200, answer.text
    batch: dict[str, Any] = answer.json()
    states = [item["status"] for item in batch["items"]]
    assert batch["completed"] == states.count("done")
    assert batch["failed"] == states.count("error")
    assert batch["total"] == len(states)
    return batch


def finished(api: httpx.Client, batch_id: str, *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Poll until the batch is finished; connection errors are part of the test."""
    deadline = time.monotonic() + patience_s
    final: dict[str, str] = {}
    while time.monotonic() < deadline:
        try:
            batch = status(api, batch_id)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        for item in batch["items"]:
            if item["item_id"] in final:
                assert item["status"] == final[item["item_id"]], "a final item changed"
            if item["status"] in ("done", "error"):
                final[item["item_id"]] = item["status"]
        if batch["completed"] + batch["failed"] == batch["total"]:
            return batch
        time.sleep(0.2)
    raise AssertionError(f"batch {batch_id} was not finished after {patience_s} s: {status(api, batch_id)}")
