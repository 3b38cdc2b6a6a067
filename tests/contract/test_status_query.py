"""What a status costs: one query, however many items the batch has."""

from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from asr_queue.adapters.dynamodb.rows import from_item
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.items import ItemError
from asr_queue.ports import ItemTable
from asr_queue.usecases.batch_status import batch_status
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
    counting = DynamoItemTable(client, aws["ASR_QUEUE_TABLE"], clock=clock, row_retention_s=86_400)
    answer = batch_status(batch.batch_id, tenant="acme", table=counting)
    assert (answer.total, answer.completed, answer.failed) == (ITEMS, half, half)
    assert calls == ["Query"]
