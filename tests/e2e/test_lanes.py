"""Priorities through the use cases and the queues that the template has made in the embedded AWS."""

from collections import Counter
from uuid import uuid4

import pytest

from asr_queue.adapters.aws import Aws, connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.ports import Backlog, Delivery
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from asr_queue.wire.messages import ItemMessage
from tests.conftest import EmbeddedAws

EMPTY = Backlog(visible=0, in_flight=0)


@pytest.fixture
def aws(embedded_aws: EmbeddedAws) -> Aws:
    names = {
        name.removeprefix("ASR_QUEUE_").lower(): value
        for name, value in embedded_aws.environment.items()
        if name.startswith("ASR_QUEUE_")
    }
    connected = connect(ResourceSettings.model_validate(names), environment=embedded_aws.environment)
    queue = connected.queues[Operation.TRANSCRIBE]
    while left := queue.receive(max_messages=10, wait_s=0):  # of tests before this one
        queue.delete([delivery.receipt_handle for delivery in left])
    return connected


def submit(aws: Aws, priority: Priority, count: int) -> str:
    tenant, clock = f"lanes-{uuid4()}", SystemClock()
    file = accept_upload(
        b"RIFF",
        tenant=tenant,
        file_name="",
        content_type="",
        store=aws.store,
        table=aws.table,
        clock=clock,
        file_ttl_s=1800,
    )
    items = [SubmitItem(operation="transcribe", ref_audio=file.file_id)] * count
    request = SubmitRequest(items=items, priority=priority)
    return submit_batch(request, tenant=tenant, table=aws.table, queues=aws.queues, clock=clock).answer.batch_id


def batch_of(delivery: Delivery) -> str:
    return ItemMessage.parse(delivery.body).batch_id


def test_each_priority_waits_in_a_queue_of_its_own_and_none_starves(aws: Aws) -> None:
    queue = aws.queues[Operation.TRANSCRIBE]
    low, normal = submit(aws, Priority.LOW, 40), submit(aws, Priority.NORMAL, 80)
    assert [queue.backlogs()[priority].visible for priority in Priority] == [0, 80, 40]
    high = submit(aws, Priority.HIGH, 100)
    received: list[Delivery] = []
    for _ in range(13):
        received += queue.receive(max_messages=10, wait_s=0)
    assert Counter(map(batch_of, received)) == {high: 80, normal: 40, low: 10}
    while more := queue.receive(max_messages=10, wait_s=0):
        received += more
    assert Counter(map(batch_of, received)) == {high: 100, normal: 80, low: 40}
    assert queue.extend([delivery.receipt_handle for delivery in received], visibility_s=30) == []
    assert queue.delete([delivery.receipt_handle for delivery in received]) == []
    assert set(queue.backlogs().values()) == {EMPTY}
