"""Batches and items in the table."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from asr_queue.adapters.dynamodb.calls import MAX_ACTIONS, Action, ConditionFailedError, Delete, Put, Table, Update
from asr_queue.adapters.dynamodb.creation import Creation
from asr_queue.adapters.dynamodb.files import unpin
from asr_queue.adapters.dynamodb.notices import from_notice, notice_key
from asr_queue.adapters.dynamodb.removal import IS_OPEN, OPEN, remove_items
from asr_queue.adapters.dynamodb.rows import (
    META,
    SQS_RETENTION_S,
    Row,
    batch_key,
    due_shard,
    from_file,
    item_key,
    outcome_of,
    to_batch,
    to_item,
    to_ms,
    to_s,
)
from asr_queue.adapters.dynamodb.usage import items_ended
from asr_queue.domain.batches import Batch
from asr_queue.domain.files import File
from asr_queue.domain.items import Item, pins_by_upload
from asr_queue.domain.notices import Notice
from asr_queue.ports import Clock, IdempotencyClaim

_PARALLEL_WRITES: Final = 16
_ITEMS_AT_ONCE: Final = MAX_ACTIONS // 4
"""Items of one transaction: each moves, registers a file, takes a pin away, and leaves its tenant's usage."""


class Batches:
    """The part of ItemTable that is about batches and items."""

    _table: Table
    _clock: Clock
    _row_retention_s: int

    def create_batch(
        self, batch: Batch, items: Sequence[Item], *, claim: IdempotencyClaim | None = None, answer: str = ""
    ) -> None:
        """Write a batch and its items: all of it visible, or none."""
        Creation(self._table, self._clock).create(batch, items, claim, answer)

    def discard_batch(self, batch_id: str) -> None:
        """Undo a batch whose creation never ended."""
        Creation(self._table, self._clock).discard(batch_id)

    def load_batch(self, batch_id: str) -> tuple[Batch, list[Item]] | None:
        """Return a batch and all its items."""
        rows = list(self._table.query(f"BATCH#{batch_id}"))
        meta = next((row for row in rows if row["sk"] == META), None)
        if meta is None or "state" in meta:
            return None
        return to_batch(meta), [to_item(row) for row in rows if row is not meta]

    def get_batch(self, batch_id: str) -> Batch | None:
        """Return a batch without its items."""
        # A query, for who may query and has no other right to read.
        meta = next(self._table.query(f"BATCH#{batch_id}", sort_key=META), None)
        return None if meta is None or "state" in meta else to_batch(meta)

    def mark_sent(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Note that a message was sent for every item."""
        values = {"sent_at": to_ms(self._clock.now()), "due_at": to_ms(next_check_at)}
        self._change(batch, "SET #sent_at = :sent_at, #due_at = :due_at", values)

    def postpone_batch(self, batch: Batch, *, next_check_at: datetime) -> None:
        """Set when the sweep should look at a batch again."""
        self._change(batch, "SET #due_at = :due_at", {"due_at": to_ms(next_check_at)})

    def count_ended(self, batch_id: str, count: int) -> bool:
        """Count items of a batch as ended."""
        try:
            row = self._table.write(
                Update(
                    key=batch_key(batch_id),
                    change="ADD #ended :count",
                    condition="attribute_exists(#due_shard)",
                    values={"count": count},
                )
            )
        except ConditionFailedError:
            return False  # retired or gone
        return row is not None and row["ended"] >= row["total"]

    def finish_batch(self, notice: Notice, *, read_until: datetime) -> bool:
        """Note that a batch's last item is final."""
        purge: Row = {"purge_at": to_s(read_until, self._row_retention_s)}
        noted = purge | {
            "finished_at": to_ms(notice.finished_at),
            "completed": notice.completed,
            "failed": notice.failed,
        }
        note = Update(
            key=batch_key(notice.batch_id),
            change="SET " + ", ".join(f"#{name} = :{name}" for name in noted),
            condition="attribute_exists(#due_shard) AND attribute_not_exists(#finished_at)"
            " AND attribute_not_exists(#deleted_at)",
            values=noted,
        )
        try:
            self._table.transact([note, Put(row=from_notice(notice) | purge)])
        except ConditionFailedError:
            return False
        return True

    def retire_batch(self, batch: Batch) -> None:
        """Note that nothing is left to do for a finished batch."""
        self._change(batch, "REMOVE #due_shard, #due_at", {})

    def delete_batch(self, batch: Batch, *, now: datetime) -> None:
        """Note that a batch is deleted."""
        due = {"due_shard": due_shard("BATCH", batch.batch_id), "due_at": to_ms(now)}
        try:
            self._table.transact(
                [
                    Update(
                        key=batch_key(batch.batch_id),
                        change="SET #deleted_at = :due_at, #due_at = :due_at, #due_shard = :due_shard, #label = :label,"
                        " #purge_at = :purge_at REMOVE #list_pk, #list_sk",
                        condition="attribute_exists(#pk) AND attribute_not_exists(#deleted_at)",
                        values=due | {"label": "", "purge_at": to_s(now, self._row_retention_s)},
                    ),
                    Delete(key=notice_key(batch.batch_id)),
                ]
            )
        except ConditionFailedError:
            return  # somebody else did, or it is gone

    def remove_items(self, items: Sequence[Item]) -> None:
        """Remove rows of items."""
        remove_items(items, self._table)

    def claim_item(self, batch_id: str, index: int, *, now: datetime) -> Item | None:
        """Start an item."""
        start = Update(
            key=item_key(batch_id, index),
            change="SET #status = :processing, #started_at = :now ADD #attempt :one",
            condition=IS_OPEN,
            values=OPEN | {"now": to_ms(now), "one": 1},
        )
        try:
            row = self._table.write(start)
        except ConditionFailedError:
            return None
        return None if row is None else to_item(row)

    def finish_items(self, finished: Sequence[tuple[Item, File | None]]) -> list[bool]:
        """Move items to their final state."""
        results: list[bool] = []
        for some in _together(finished):
            results += self._finish_some(some)
        return results

    def forget_texts(self, items: Sequence[Item]) -> None:
        """Forget texts and prompts."""

        def forget(item: Item) -> None:
            update = Update(
                key=item_key(item.batch_id, item.index),
                change="SET #text = :none, #prompt = :none",
                condition="attribute_exists(#pk)",
                values={"none": ""},
            )
            with suppress(ConditionFailedError):  # gone altogether
                self._table.write(update)

        with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
            list(pool.map(forget, items))

    def _finish_some(self, finished: Sequence[tuple[Item, File | None]]) -> list[bool]:
        results = [True] * len(finished)
        open_places = list(range(len(finished)))
        while open_places:
            moves = [self._move(finished[place][0]) for place in open_places]
            files = [Put(row=from_file(file)) for _, file in (finished[place] for place in open_places) if file]
            pins = pins_by_upload(finished[place][0] for place in open_places)
            unpins = [unpin(upload_id, item_ids) for upload_id, item_ids in pins.items()]
            actions: list[Action] = [
                *moves,
                *files,
                *unpins,
                *items_ended([finished[place][0] for place in open_places]),
            ]
            try:
                self._table.transact(actions)
                break
            except ConditionFailedError as error:
                taken = {open_places[place]: row for place, row in error.rows.items() if place < len(moves)}
                if not taken:
                    raise
                for place, row in taken.items():
                    results[place] = row is not None and to_item(row).has_outcome_of(finished[place][0])
                open_places = [place for place in open_places if place not in taken]
        return results

    def _move(self, item: Item) -> Update:
        # It goes when its batch cannot be running any more, so that no status answer ever misses an item.
        outcome: Row = outcome_of(item) | {"purge_at": to_s(self._clock.now(), SQS_RETENTION_S + self._row_retention_s)}
        return Update(
            key=item_key(item.batch_id, item.index),
            change="SET " + ", ".join(f"#{name} = :new_{name}" for name in outcome),
            condition=IS_OPEN,
            values=OPEN | {f"new_{name}": value for name, value in outcome.items()},
        )

    def _change(self, batch: Batch, change: str, values: dict[str, Any]) -> None:
        update = Update(
            key=batch_key(batch.batch_id), change=change, condition="attribute_exists(#due_shard)", values=values
        )
        try:
            self._table.write(update)
        except ConditionFailedError:
            return  # retired or gone: nothing is left to note


def _together(finished: Sequence[tuple[Item, File | None]]) -> Iterator[list[tuple[Item, File | None]]]:
    """Yield what one transaction takes, in order; it names a row once, and an item may have ended in two attempts."""
    group: list[tuple[Item, File | None]] = []
    item_ids: set[str] = set()
    for one in finished:
        if len(group) == _ITEMS_AT_ONCE or one[0].item_id in item_ids:
            yield group
            group, item_ids = [], set()
        group.append(one)
        item_ids.add(one[0].item_id)
    if group:
        yield group
