"""Webhooks of a whole system: a receiver that fails, workers that are killed, and whoever only pretends."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.e2e.calls import finished, upload
from tests.e2e.conftest import Stack
from tests.webhooks.page import is_genuine
from tests.webhooks.receivers import Received, Receiver, receiving

RECORDINGS = Path(__file__).parents[1] / "recordings"
BATCHES, ITEMS = 4, 8
PATIENCE_S = 180.0
ONE_MORE_WOULD_HAVE_COME_S = 5.0
BACKOFF_S = "1,1,1,1"


def fails_twice() -> Callable[[Mapping[str, str]], int | None]:
    """Answer the first attempt of each message with 500, break the second off, and accept what comes then."""
    seen: Counter[str] = Counter()

    def answer(headers: Mapping[str, str]) -> int | None:
        seen[headers["webhook-id"]] += 1
        return {1: 500, 2: None}.get(seen[headers["webhook-id"]], 204)

    return answer


def kill_workers(stack: Stack, ended: threading.Event, killed: list[int]) -> None:
    while not ended.wait(0.7) and len(killed) < 4:
        for worker in stack.children("gpu_worker")[:1]:
            worker.kill()
            killed.append(worker.pid)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.1)


def test_a_receiver_that_fails_twice_gets_each_end_once_under_kills(
    up: Callable[..., AbstractContextManager[Stack]],
) -> None:
    entry = json.loads((RECORDINGS / "recordings.json").read_text())[0]
    recording = (RECORDINGS / entry["file"]).read_bytes()
    with receiving() as receiver:
        receiver.answer = fails_twice()
        host = f"127.0.0.1:{receiver.port}"
        settings = {
            "ASR_QUEUE_CALLBACK_HOSTS": host,
            "ASR_QUEUE_CALLBACK_BACKOFF_S": BACKOFF_S,
            "ASR_QUEUE_VISIBILITY_TIMEOUT_S": "5",
        }
        with up("--engine", "whisper", "--workers", "2", **settings) as stack, stack.client() as api:
            file_ids = [upload(api, recording, entry["file"]) for _ in range(ITEMS)]
            ended, killed = threading.Event(), list[int]()
            killer = threading.Thread(target=kill_workers, args=(stack, ended, killed))
            batch_ids = [submitted(api, file_ids, f"http://{host}/hook?n={number}") for number in range(BATCHES)]
            killer.start()
            try:
                until(lambda: len(receiver.accepted()) >= BATCHES)
            finally:
                ended.set()
                killer.join()
            time.sleep(ONE_MORE_WOULD_HAVE_COME_S)
            secret = api.get("/api/v1/webhooks/secret").json()["secret"]
            assert len(killed) >= 2, "the workers were too quick for the test"
            each_is_told_once(receiver, batch_ids, secret)
            for batch_id in batch_ids:
                agrees_with_the_log(api, batch_id)
            forgeries_are_refused(receiver.accepted()[0], secret)
            a_private_address_is_refused(api, file_ids[0])


def submitted(api: httpx.Client, file_ids: list[str], callback_url: str) -> str:
    items = [{"operation": "transcribe", "ref_audio": file_id} for file_id in file_ids]
    answer = api.post("/api/v1/queue/submit", json={"items": items, "callback_url": callback_url})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["batch_id"])


def each_is_told_once(receiver: Receiver, batch_ids: list[str], secret: str) -> None:
    """Three attempts a batch, the third accepted, all of them genuine."""
    statuses = {batch_id: [] for batch_id in batch_ids}
    for received in receiver.received:
        told = Webhook(secret).verify(received.body, received.headers)
        assert is_genuine(secret, received.headers, received.body)
        assert received.headers["webhook-id"] == f"msg_{told['data']['batch_id']}"
        assert told["type"] == "batch.finished"
        assert (told["data"]["status"], told["data"]["completed"]) == ("completed", ITEMS)
        statuses[told["data"]["batch_id"]].append(received.status)
    assert statuses == {batch_id: [500, None, 204] for batch_id in batch_ids}


def agrees_with_the_log(api: httpx.Client, batch_id: str) -> None:
    assert finished(api, batch_id)["status"] == "completed"
    delivery = api.get(f"/api/v1/queue/batches/{batch_id}/delivery").json()
    assert [attempt["status"] for attempt in delivery["attempts"]] == [500, None, 204]
    assert delivery["attempts"][1]["error"] == "The connection to the receiver failed: RemoteDisconnected."
    assert (delivery["state"], delivery["next_attempt_at"]) == ("delivered", None)


def forgeries_are_refused(genuine: Received, secret: str) -> None:
    stale = {"webhook-timestamp": str(int(genuine.headers["webhook-timestamp"]) - 600)}
    forged = [
        (genuine.headers, genuine.body.replace(b"completed", b"error")),
        (genuine.headers | {"webhook-id": "msg_other"}, genuine.body),
        (genuine.headers | stale, genuine.body),
        (genuine.headers | {"webhook-signature": "v1,AAAA"}, genuine.body),
        ({}, genuine.body),
    ]
    for headers, body in forged:
        assert not is_genuine(secret, headers, body)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)
    assert not is_genuine(secret, genuine.headers | {"webhook-signature": "v1,ünïcode"}, genuine.body)
    other = "whsec_" + "A" * 43 + "="
    assert not is_genuine(other, genuine.headers, genuine.body)


def a_private_address_is_refused(api: httpx.Client, file_id: str) -> None:
    items = [{"operation": "transcribe", "ref_audio": file_id}]
    for url in ("https://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "http://127.0.0.1:1/"):
        answer = api.post("/api/v1/queue/submit", json={"items": items, "callback_url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "callback_not_allowed")
