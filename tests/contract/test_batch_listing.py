"""What BatchListing promises."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.batches import Batch
from asr_queue.ports import BatchListing, BatchPlace, ItemTable
from tests.contract.conftest import MANY
from tests.contract.test_item_table import a_batch, an_upload, the_end_of


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid4()}"


def place(batch: Batch) -> BatchPlace:
    return BatchPlace(created_at=batch.created_at, batch_id=batch.batch_id)


def create(table: ItemTable, clock: ManualClock, tenant: str, *, items: int = 1) -> Batch:
    upload = an_upload(table, clock, tenant=tenant)
    batch, rows = a_batch(clock, [upload] * items)
    batch, rows = replace(batch, tenant=tenant), [replace(item, tenant=tenant) for item in rows]
    table.create_batch(batch, rows)
    return batch


def eventually(listed: Callable[[], list[Batch]], wanted: list[Batch]) -> bool:
    """Whether a list is as wanted, now or in a moment: an index may lag behind."""
    ids = [batch.batch_id for batch in wanted]
    for _ in range(50):
        if [batch.batch_id for batch in listed()] == ids:
            return True
        time.sleep(0.1)
    return False


def test_batches_are_listed_newest_first_each_as_its_row_has_it(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batches = []
    for _ in range(3):
        batches.append(create(table, clock, tenant))
        clock.advance(1)
    newest_first = batches[::-1]
    assert eventually(lambda: listing.page(tenant, limit=10), newest_first)
    assert listing.page(tenant, limit=10) == newest_first


def test_pages_follow_each_other_without_gap_or_repetition_in_one_millisecond_too(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batches = [create(table, clock, tenant) for _ in range(5)]
    newest_first = sorted(batches, key=lambda batch: batch.batch_id, reverse=True)
    assert eventually(lambda: listing.page(tenant, limit=10), newest_first)
    seen: list[Batch] = []
    while page := listing.page(tenant, limit=2, after=place(seen[-1]) if seen else None):
        seen += page
    assert seen == newest_first


def test_a_time_range_begins_with_its_first_moment_and_ends_before_its_last(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batches = []
    for _ in range(3):
        batches.append(create(table, clock, tenant))
        clock.advance(1)
    assert eventually(lambda: listing.page(tenant, limit=10), batches[::-1])
    first, second, third = (batch.created_at for batch in batches)
    page = listing.page(tenant, limit=10, created_from=first, created_to=third)
    assert [batch.created_at for batch in page] == [second, first]
    assert listing.page(tenant, limit=1, created_to=third, after=place(batches[1])) == [batches[0]]
    assert listing.page(tenant, limit=10, created_from=third + timedelta(seconds=1)) == []
    assert listing.page(tenant, limit=10, created_from=third, created_to=first) == []


def test_nobody_sees_another_tenants(table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str) -> None:
    own, theirs = create(table, clock, tenant), create(table, clock, f"{tenant}-other")
    assert eventually(lambda: listing.page(tenant, limit=10), [own])
    assert listing.page(tenant, limit=10, after=BatchPlace(created_at=clock.now(), batch_id=theirs.batch_id)) in (
        [],
        [own],
    )
    assert listing.page(f"nobody-{uuid4()}", limit=10) == []


def test_a_deleted_batch_is_gone_at_once_and_leaves_the_page_full(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batches = []
    for _ in range(4):
        batches.append(create(table, clock, tenant))
        clock.advance(1)
    assert eventually(lambda: listing.page(tenant, limit=10), batches[::-1])
    table.delete_batch(batches[2], now=clock.now())
    assert [batch.batch_id for batch in listing.page(tenant, limit=3)] == [
        batches[place].batch_id for place in (3, 1, 0)
    ]


def test_a_batch_that_needs_several_transactions_is_listed_once_it_is_whole(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batch = create(table, clock, tenant, items=MANY)
    assert eventually(lambda: listing.page(tenant, limit=10), [batch])


def test_the_list_tells_what_a_finished_batch_came_to(
    table: ItemTable, listing: BatchListing, clock: ManualClock, tenant: str
) -> None:
    batch = create(table, clock, tenant)
    assert eventually(lambda: listing.page(tenant, limit=10), [batch])
    table.finish_batch(the_end_of(batch, clock.now()), read_until=clock.now())
    [listed] = listing.page(tenant, limit=10)
    assert (listed.finished_at, listed.completed, listed.failed) == (clock.now(), 1, 0)
