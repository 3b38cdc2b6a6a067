"""Each sample of `events/` through AWS's runtime client into what `sam build` made: its effect on S3, SQS, DynamoDB."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.files import presigned_key
from asr_queue.domain.items import ItemStatus, Operation
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.usecases.presign_upload import presign_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitRequest
from asr_queue.wire.messages import ItemMessage
from tests.lambda_runtime.conftest import Deployed
from tests.lambda_runtime.function import Function
from tests.lambda_runtime.runtime_api import FunctionError
from tests.lambda_runtime.waiting import eventually
from tests.webhooks.receivers import receiving

EVENTS = Path(__file__).parents[2] / "events"
SAMPLE_BATCH_ID = "3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce"
SAMPLE_FILE_ID = "8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11"
Functions = Callable[[str], Function]


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


def upload(stack: Deployed, *, age_s: float = 0) -> str:
    """Upload as the API does; return the file id."""
    kept = accept_upload(
        b"RIFF",
        tenant="acme",
        file_name="talk.wav",
        content_type="audio/wav",
        store=stack.aws.store,
        table=stack.aws.table,
        clock=SystemClock(),
        file_ttl_s=1800,
    )
    if age_s:
        past = timedelta(seconds=age_s)
        stack.aws.table.put_file(replace(kept, created_at=kept.created_at - past, expires_at=kept.expires_at - past))
    return kept.file_id


def messages(stack: Deployed) -> list[ItemMessage]:
    """Take everything out of the queue of items."""
    queue = stack.aws.queues[Operation.TRANSCRIBE]
    taken = []
    while deliveries := queue.receive(max_messages=10, wait_s=0):
        taken += [ItemMessage.parse(delivery.body) for delivery in deliveries]
        queue.delete([delivery.receipt_handle for delivery in deliveries])
    return taken


def api_health(stack: Deployed, functions: Functions) -> None:
    answer = functions("ApiFunction").invoke(sample("api_health"))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"status": "ok"}


def api_submit(stack: Deployed, functions: Functions) -> None:
    file_id = upload(stack)
    event = sample("api_submit")
    event["headers"]["x-api-key"] = stack.api_key
    body = json.loads(event["body"])
    body["items"][0]["ref_audio"] = file_id
    event["body"] = json.dumps(body)
    messages(stack)
    answer = functions("ApiFunction").invoke(event)
    assert answer["statusCode"] == 200, answer
    submitted = json.loads(answer["body"])
    assert [message.item_id for message in messages(stack)] == submitted["item_ids"]
    loaded = stack.aws.table.load_batch(submitted["batch_id"])
    assert loaded is not None
    batch, [item] = loaded
    assert (batch.label, item.upload_id, item.status) == ("sample", file_id, ItemStatus.QUEUED)
    assert (item.custom_id, item.return_timestamps) == ("chunk_001", True)


def dead_letter(stack: Deployed, functions: Functions) -> None:
    request = SubmitRequest.model_validate({"items": [{"operation": "transcribe", "ref_audio": upload(stack)}] * 2})
    answer = submit_batch(
        request, tenant="acme", table=stack.aws.table, queues=stack.aws.queues, clock=SystemClock()
    ).answer
    event = sample("dead_letter")
    ours = ItemMessage(batch_id=answer.batch_id, index=1, item_id=answer.item_ids[1])
    event["Records"][0]["body"] = ours.model_dump_json()
    dead_letters = functions("DeadLetterFunction")
    assert dead_letters.invoke(event) == {"batchItemFailures": []}
    loaded = stack.aws.table.load_batch(answer.batch_id)
    assert loaded is not None
    assert [item.status for item in loaded[1]] == [ItemStatus.QUEUED, ItemStatus.ERROR]
    assert "PoisonMessages" in dead_letters.log.read_text(), "the second record is none of ours"
    messages(stack)


def sweep(stack: Deployed, functions: Functions) -> None:
    expired, kept = upload(stack, age_s=3600), upload(stack)
    function = functions("SweepFunction")
    failed: list[FunctionError] = []

    def run() -> None:
        try:
            function.invoke(sample("sweep"))
        except FunctionError as error:
            failed.append(error)

    running = Thread(target=run)
    running.start()
    try:
        assert eventually(lambda: not any(expired in key for key in stack.aws.store.list_keys("uploads/")))
        assert any(kept in key for key in stack.aws.store.list_keys("uploads/"))
        assert stack.aws.table.get_file(expired) is not None, "a late caller is told 410"
        assert not failed
    finally:
        function.end()  # half a minute before its second run
        running.join()


def s3_submit(stack: Deployed, functions: Functions) -> None:
    store = stack.aws.store
    recording, manifest = (
        "drop/acme/audio/German+timestamps/Frühling am See.flac",
        "drop/acme/interviews/monday.manifest.json",
    )
    listed = {"label": "Monday", "items": [{"operation": "transcribe", "ref_audio": "one.wav", "custom_id": "i1"}] * 2}
    store.put("drop/acme/interviews/one.wav", b"RIFF", content_type="audio/wav")
    store.put(recording, b"fLaC", content_type="audio/flac")
    store.put(manifest, json.dumps(listed).encode(), content_type="application/json")
    told = presign_upload(
        tenant="acme",
        file_name="long.wav",
        size_bytes=4,
        content_type="audio/wav",
        presigner=stack.aws.presigner,
        table=stack.aws.table,
        clock=SystemClock(),
        max_upload_bytes=100,
    )
    store.put(presigned_key("acme", told.file_id), b"RIFF", content_type="audio/wav")
    event = json.loads(json.dumps(sample("s3_submit")).replace(SAMPLE_FILE_ID, told.file_id))
    messages(stack)
    for _ in range(2):  # S3 tells of a put at least once
        assert functions("S3SubmitFunction").invoke(event) == {"batchItemFailures": []}
    sent = stack.aws.table.get_file(told.file_id)
    assert sent is not None
    assert not sent.is_awaited
    items = []
    for key in (recording, manifest):
        receipt = store.get(f"{key}.receipt.json")
        assert receipt is not None
        loaded = stack.aws.table.load_batch(json.loads(receipt)["batch_id"])
        assert loaded is not None
        items += loaded[1]
    assert [(item.language, item.return_timestamps) for item in items] == [("de", True), (None, False), (None, False)]
    assert sorted(message.item_id for message in messages(stack)) == sorted(item.item_id for item in items)


def notify(stack: Deployed, functions: Functions) -> None:
    with receiving() as receiver:
        host = f"127.0.0.1:{receiver.port}"
        items = [{"operation": "transcribe", "ref_audio": upload(stack)}]
        request = SubmitRequest.model_validate({"items": items, "callback_url": f"http://{host}/"})
        batch_id = submit_batch(
            request,
            tenant="acme",
            table=stack.aws.table,
            queues=stack.aws.queues,
            clock=SystemClock(),
            trusted_hosts=frozenset({host}),
        ).answer.batch_id
        cancel_items(batch_id, tenant="acme", table=stack.aws.table, clock=SystemClock(), file_ttl_s=1800)
        event = json.loads(json.dumps(sample("notify")).replace(SAMPLE_BATCH_ID, batch_id))
        assert functions("NotifyFunction").invoke(event) == {"batchItemFailures": []}
        notice = stack.aws.notices.get_notice(batch_id)
        assert notice is not None
        assert notice.is_published
        # The function is the artefact's own, whose settings name no host: what the test may call, it may not.
        [attempt] = notice.attempts
        assert attempt.error is not None
        assert "must begin with https://" in attempt.error
        assert receiver.received == []
    messages(stack)


CASES = (api_health, api_submit, dead_letter, notify, s3_submit, sweep)
NO_EVENTS = {"item_message_v1", "notice_message_v1"}
"""Bodies of messages (tests/api/test_functions.py, tests/api/test_webhooks.py)."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_sample_does_what_it_is_a_sample_of(
    case: Callable[[Deployed, Functions], None], stack: Deployed, functions: Functions
) -> None:
    case(stack, functions)


def test_every_sample_is_sent() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} - NO_EVENTS == {case.__name__ for case in CASES}
