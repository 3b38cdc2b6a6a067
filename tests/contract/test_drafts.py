"""A batch whose creator dies half way: DynamoDB's own, since the fake creates in one step."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest

from asr_queue.adapters.dynamodb.calls import Action, ConditionFailedError, Delete, Put, Table, Update
from asr_queue.adapters.dynamodb.rows import Row
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.quotas import Usage
from asr_queue.errors import RetryableError
from asr_queue.ports import ItemTable
from tests.contract.test_item_table import a_batch, an_upload


class _DiesError(BaseException):
    """The process ends here."""


@pytest.fixture
def kind() -> str:
    return "emulator"


def fail_from(table: ItemTable, monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> None:
    """Let the transactions of a table fail from the given one on, before they take effect."""
    assert isinstance(table, DynamoItemTable)
    transact, made = Table.transact, 0

    def failing(self: Table, actions: Sequence[Action]) -> None:
        nonlocal made
        made += 1
        if made >= call:
            raise error
        transact(self, actions)

    monkeypatch.setattr(Table, "transact", failing)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_what_a_dead_creator_left_is_hidden_and_then_undone(
    table: ItemTable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    tenant = f"tenant-{uuid4()}"
    uploads = [an_upload(table, clock, tenant=tenant) for _ in range(120)]
    batch, items = a_batch(clock, uploads, is_counted=True)
    batch, items = replace(batch, tenant=tenant), [replace(item, tenant=tenant) for item in items]
    with monkeypatch.context() as patched:
        fail_from(table, patched, call, _DiesError())
        with pytest.raises(_DiesError):
            table.create_batch(batch, items)
    assert table.load_batch(batch.batch_id) is None
    assert table.get_batch(batch.batch_id) is None
    assert batch.batch_id not in table.due_drafts(now=clock.now(), limit=5000)
    clock.advance(120)
    assert batch.batch_id in table.due_drafts(now=clock.now(), limit=5000)
    table.discard_batch(batch.batch_id)
    assert batch.batch_id not in table.due_drafts(now=clock.now(), limit=5000)
    assert not any(file.pinned_by for file in table.get_files([upload.file_id for upload in uploads]).values())
    assert table.usage(tenant) == Usage()
    assert table.claim_item(batch.batch_id, 0, now=clock.now()) is None
    assert batch.batch_id not in {due.batch_id for due in table.due_batches(now=clock.now(), limit=5000)}


def test_a_failing_service_half_way_leaves_nothing(
    table: ItemTable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [an_upload(table, clock) for _ in range(120)]
    batch, items = a_batch(clock, uploads)
    with monkeypatch.context() as patched:
        fail_from(table, patched, 3, RetryableError("dynamodb_unavailable", "throttled"))
        with pytest.raises(RetryableError):
            table.create_batch(batch, items)
    clock.advance(120)
    for draft in table.due_drafts(now=clock.now(), limit=5000):
        table.discard_batch(draft)
    assert not any(file.pinned_by for file in table.get_files([upload.file_id for upload in uploads]).values())


def test_a_creator_that_was_taken_for_dead_creates_nothing(
    table: ItemTable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [an_upload(table, clock) for _ in range(120)]
    batch, items = a_batch(clock, uploads)
    transact = Table.transact

    def discarded_before(self: Table, actions: Sequence[Action]) -> None:
        if len(actions) == 1:
            monkeypatch.setattr(Table, "transact", transact)
            table.discard_batch(batch.batch_id)
        transact(self, actions)

    monkeypatch.setattr(Table, "transact", discarded_before)
    with pytest.raises(RetryableError, match="undone"):
        table.create_batch(batch, items)
    assert table.load_batch(batch.batch_id) is None
    assert not any(file.pinned_by for file in table.get_files([upload.file_id for upload in uploads]).values())


def test_a_draft_whose_first_write_takes_effect_late_does_not_hide_its_batch(
    table: ItemTable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, items = a_batch(clock, [an_upload(table, clock) for _ in range(60)])
    written: list[tuple[Table, Put | Update | Delete]] = []
    write = Table.write

    def remembering(self: Table, action: Put | Update | Delete) -> Row | None:
        written.append((self, action))
        return write(self, action)

    with monkeypatch.context() as patched:
        patched.setattr(Table, "write", remembering)
        table.create_batch(batch, items)
    [(calls, draft)] = written
    with pytest.raises(ConditionFailedError):
        write(calls, draft)
    assert table.load_batch(batch.batch_id) == (batch, items)
