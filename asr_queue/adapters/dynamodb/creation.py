"""A batch appears at once, however many rows it has.

What fits goes in one transaction. A larger batch begins as a draft, which nobody sees; its items follow in
transactions that each check that it still is one, and the last makes it a batch. A draft that stays is undone.

    draft ──last transaction──▶ batch
      └──its creator failed, or the sweep found it old──▶ discarding ──▶ gone
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from asr_queue.adapters.dynamodb.calls import (
    MAX_ACTIONS,
    Action,
    Check,
    ConditionFailedError,
    Delete,
    Put,
    Table,
    Update,
)
from asr_queue.adapters.dynamodb.files import pin
from asr_queue.adapters.dynamodb.removal import remove_items
from asr_queue.adapters.dynamodb.rows import (
    META,
    Due,
    Row,
    batch_key,
    due_shard,
    from_batch,
    from_item,
    idempotency_key,
    listed,
    to_file,
    to_item,
    to_ms,
)
from asr_queue.adapters.dynamodb.usage import items_begun
from asr_queue.domain.batches import Batch
from asr_queue.domain.items import Item, pins_by_upload
from asr_queue.domain.quotas import pinned_enough
from asr_queue.errors import AsrQueueError, CallerError, RetryableError
from asr_queue.ports import UNSENT_CHECK_S, Clock, IdempotencyClaim

_DRAFT_CHECK_S: Final = 120
"""Age at which a draft's creator is taken for dead: longer than any request may run."""
_ITEMS_AT_ONCE: Final = (MAX_ACTIONS - 2) // 2
"""Items of one transaction, each with a pin, beside the check of the draft and the tenant's usage."""
_MOST_READINGS: Final = 10


class Creation:
    """Creates batches, and undoes what was not finished."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def create(self, batch: Batch, items: Sequence[Item], claim: IdempotencyClaim | None, answer: str) -> None:
        """Create a batch; see `ItemTable.create_batch`."""
        fulfilled = [] if claim is None else [_fulfil(claim, answer)]
        whole = [Put(row=_visible_row(batch)), *self._items_and_pins(batch, items), *fulfilled]
        if len(whole) <= MAX_ACTIONS:
            self._transact(whole)
            return
        self._begin(batch)
        try:
            for start in range(0, len(items), _ITEMS_AT_ONCE):
                some = items[start : start + _ITEMS_AT_ONCE]
                self._transact([_still_draft(batch.batch_id), *self._items_and_pins(batch, some)])
            self._transact([_publish(batch), *fulfilled])
        except AsrQueueError:
            self.discard(batch.batch_id)
            raise

    def discard(self, batch_id: str) -> None:
        """Undo a draft; anything else stays."""
        try:
            self._table.write(
                Update(
                    key=batch_key(batch_id),
                    change="SET #state = :discarding",
                    condition="#state IN (:draft, :discarding)",
                    values={"draft": "draft", "discarding": "discarding"},
                )
            )
        except ConditionFailedError:
            return
        for _ in range(_MOST_READINGS):
            items = [to_item(row) for row in self._table.query(f"BATCH#{batch_id}") if row["sk"] != META]
            if not items:
                self._table.write(Delete(key=batch_key(batch_id)))
                return
            remove_items(items, self._table)
        raise RetryableError("creation_abandoned", "Creating the batch failed, and undoing it is not finished.")

    def _begin(self, batch: Batch) -> None:
        try:
            self._table.write(Put(row=_draft_row(batch), condition="attribute_not_exists(#pk)"))
        except ConditionFailedError:
            return  # a repetition of ours; one that takes effect only after the end must not hide the batch again

    def _items_and_pins(self, batch: Batch, items: Sequence[Item]) -> list[Action]:
        pins = pins_by_upload(items).items()
        return [
            *(pin(upload_id, item_ids, tenant=batch.tenant, clock=self._clock) for upload_id, item_ids in pins),
            *(Put(row=from_item(item)) for item in items),
            *items_begun(items),
        ]

    def _transact(self, actions: Sequence[Action]) -> None:
        try:
            self._table.transact(actions)
        except ConditionFailedError as error:
            place, row = min(error.rows.items())
            raise _refusal(actions[place], row, self._clock.now()) from error


def _refusal(action: Action, row: Row | None, now: datetime) -> AsrQueueError:
    key: Mapping[str, Any] = action.row if isinstance(action, Put) else action.key
    kind, _, upload_id = str(key["pk"]).partition("#")
    if kind == "IDEM":
        return CallerError("idempotency_conflict", "Another execution took this request over.", http_status=409)
    if kind == "BATCH":
        return RetryableError("creation_abandoned", "Creating the batch took too long, and it was undone.")
    if row is not None and to_file(row).is_expired(now):
        return CallerError("file_expired", f"File {upload_id} has expired; upload it again.", http_status=410)
    if row is not None and "awaited" in row:
        return CallerError("file_not_uploaded", f"The bytes of file {upload_id} have not come yet.", http_status=409)
    if row is not None and to_file(row).is_pinned_enough:
        return pinned_enough(upload_id)
    return CallerError("file_not_found", f"There is no file {upload_id!r}; upload it first.", http_status=404)


def _visible_row(batch: Batch) -> Row:
    return from_batch(batch) | listed(batch) | _due("BATCH", batch, UNSENT_CHECK_S)


def _draft_row(batch: Batch) -> Row:
    return from_batch(batch) | {"state": "draft"} | _due("DRAFT", batch, _DRAFT_CHECK_S)


def _due(kind: Due, batch: Batch, age_s: int) -> Row:
    at = batch.created_at + timedelta(seconds=age_s)
    return {"due_shard": due_shard(kind, batch.batch_id), "due_at": to_ms(at)}


def _still_draft(batch_id: str) -> Check:
    return Check(key=batch_key(batch_id), condition="#state = :draft", values={"draft": "draft"})


def _publish(batch: Batch) -> Update:
    return Update(
        key=batch_key(batch.batch_id),
        change="SET #due_shard = :due_shard, #due_at = :due_at, #list_pk = :list_pk, #list_sk = :list_sk REMOVE #state",
        condition="#state = :draft",
        values={"draft": "draft"} | listed(batch) | _due("BATCH", batch, UNSENT_CHECK_S),
    )


def _fulfil(claim: IdempotencyClaim, answer: str) -> Update:
    return Update(
        key=idempotency_key(claim.tenant, claim.key),
        change="SET #answer = :answer",
        condition="#token = :token AND attribute_not_exists(#answer)",
        values={"token": claim.token, "answer": answer},
    )
