"""What a status costs: one query, however many items the batch has."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import boto3
import pytest

from asr_queue.adapters.dynamodb.rows import from_item
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.dynamodb.workers import DynamoWorkerRegistry
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.domain.items import ItemError, Operation
from asr_queue.ports import ItemTable
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.queue_pulse import Outlook, take_pulse
from handlers.pulses import Pulses
from tests.conftest import EmbeddedAws
from tests.contract.test_item_table import a_batch, an_upload, done

ITEMS = 1000
PAGE_BYTES = 1024 * 1024
"""A query answers no more at once (DynamoDB quotas)."""
MISTAKE = ItemError("audio_undecodable", "The decoder ran out of time; convert the recording, for example to flac.")


@pytest.fixture
def kind() -> str:
    return "emulator"


def size_bytes(row: Mapping[str, Any]) -> int:
    """Return what DynamoDB counts, a little more at least: names and values as text."""
    return sum(len(name.encode()) + len(str(value).encode()) + 3 for name, value in row.items())


def watched(embedded_aws: EmbeddedAws, clock: ManualClock) -> tuple[list[str], DynamoItemTable, DynamoWorkerRegistry]:
    """Return the table and the workers' reports, and a list of the calls that they make."""
    aws = embedded_aws.environment
    client = boto3.client(
        "dynamodb",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
    calls: list[str] = []
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    name = aws["ASR_QUEUE_TABLE"]
    table = DynamoItemTable(client, name, clock=clock, row_retention_s=86_400)
    return calls, table, DynamoWorkerRegistry(client, name)


def test_the_status_of_a_thousand_items_is_one_query(
    table: ItemTable, clock: ManualClock, embedded_aws: EmbeddedAws
) -> None:
    upload = an_upload(table, clock)
    batch, items = a_batch(clock, [upload] * ITEMS, custom_id="recordings/2026-01-31/chunk_0001.flac", language="de")
    table.create_batch(batch, items)
    half = ITEMS // 2
    ends = [done(clock, item) for item in items[:half]]
    ends += [(item.failed(MISTAKE, now=clock.now(), audio_s=1.0), None) for item in items[half:]]
    assert all(table.finish_items(ends))
    rows = [from_item(item) | {"result_key": item.result_key or MISTAKE.message} for item, _ in ends]
    assert sum(map(size_bytes, rows)) < PAGE_BYTES * 0.8, "on AWS it is one page, and there is room"

    calls, counting, _ = watched(embedded_aws, clock)
    answer = batch_status(batch.batch_id, tenant="acme", table=counting)
    assert (answer.total, answer.completed, answer.failed) == (ITEMS, half, half)
    assert calls == ["Query"]


def test_so_is_one_with_an_estimate_but_for_the_pulse_that_others_share(
    table: ItemTable, clock: ManualClock, embedded_aws: EmbeddedAws
) -> None:
    upload = an_upload(table, clock)
    batch, items = a_batch(clock, [upload] * ITEMS)
    table.create_batch(batch, items)
    assert all(table.finish_items([done(clock, item) for item in items[:100]]))
    calls, counting, registry = watched(embedded_aws, clock)
    queue = MemoryQueue(clock)
    take = partial(
        take_pulse,
        [Operation.TRANSCRIBE],
        queues={Operation.TRANSCRIBE: queue},
        registry=registry,
        table=counting,
        clock=clock,
        assumed_item_s=60.0,
    )
    pulses = Pulses(take, seconds=lambda: 0.0)
    for _ in range(10):
        outlook = Outlook(now=clock.now(), pulse=pulses.try_now)
        answer = batch_status(batch.batch_id, tenant="acme", table=counting, outlook=outlook)
        assert answer.estimate is not None
        assert (answer.queued, answer.completed) == (ITEMS - 100, 100)
    assert Counter(calls) == {"Query": 10 + 1, "GetItem": 1}
