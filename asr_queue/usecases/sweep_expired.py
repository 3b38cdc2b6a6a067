"""Remove what has expired, and move on what is stuck. Run every half minute; running it twice at once is harmless.

due file   ── past its time, not pinned ─▶ bytes deleted, row kept for a while to say 410
due draft  ── its creation never ended ──▶ undone
due batch  ── messages not all sent ─────▶ sent again
           ── unfinished, lane empty ────▶ messages were lost: sent again
           ── queued, and overtaken ─────▶ the same, without waiting for an empty lane
           ── finished ──────────────────▶ noted, unless it was when its last item ended; a file's life later every
                                           attempt's object is deleted, and what a retry would need is forgotten
           ── deleted ───────────────────▶ what is left of it removed, and once more a file's life later
"""

from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from asr_queue.domain.batches import Batch, Priority, finished_at
from asr_queue.domain.items import Item, ItemStatus, Operation, results_prefix
from asr_queue.ports import Backlog, Clock, ItemTable, ObjectStore, WorkQueues
from asr_queue.usecases.close_batch import close
from asr_queue.usecases.delete_batch import clear_batch
from asr_queue.usecases.submit_batch import FIRST_CHECK_S, send_items

_LEAST_POSTPONE_S: Final = FIRST_CHECK_S
_MOST_POSTPONE_S: Final = 1800
_GRACE_S: Final = 12
"""How long bytes outlive their file: longer than the table adapter waits for a pin that it asked for in time."""
_PARALLEL_WRITES: Final = 16
_EMPTY: Final = Backlog(visible=0, in_flight=0)
_OVERTAKEN: Final = timedelta(seconds=FIRST_CHECK_S)
"""A lane has no strict order, but of one tenant's messages none is served that much before another one."""
_Lane: TypeAlias = tuple[Operation, Priority]
_LIMIT: Final = 5000
"""Rows of a kind in one run; the next run goes on."""


@dataclass(slots=True)
class Swept:
    """What one run did."""

    files_expired: int = 0
    batches_finished: int = 0
    """Noted as finished by the sweep: whoever ended the last item did not come to that."""
    batches_retired: int = 0
    batches_resent: int = 0
    items_resent: int = 0
    drafts_discarded: int = 0
    items_heard: int = 0
    """Finished recordings of the batches that were looked at, ..."""
    audio_s: float = 0.0
    """... and how long they are together."""
    items_spoken: int = 0
    """Texts of theirs that were said, ..."""
    speech_s: float = 0.0
    """... and how long that speech is together."""


@dataclass(slots=True)
class _Line:
    """Who waits for workers among the batches that were looked at, and how far workers have come, by tenant."""

    waiting: list[tuple[Batch, frozenset[Operation]]] = field(default_factory=list)
    """With the operations of the items that nobody has started."""
    reached: dict[tuple[str, _Lane], datetime] = field(default_factory=dict)
    """When the newest batch was sent of which an item has been started, lane by lane."""

    def add(self, batch: Batch, items: list[Item]) -> None:
        """Take note of a batch."""
        if batch.sent_at is None:
            return
        for operation in {item.operation for item in items if item.attempt}:
            place = batch.tenant, (operation, batch.priority)
            self.reached[place] = max(batch.sent_at, self.reached.get(place, batch.sent_at))
        if queued := frozenset(item.operation for item in items if item.status is ItemStatus.QUEUED):
            self.waiting.append((batch, queued))

    def overtaken(self) -> Iterator[tuple[Batch, set[Operation]]]:
        """Yield the batches that wait though others of their tenant, sent well after them, do not."""
        for batch, queued in self.waiting:
            passed = {operation for operation in queued if self._has_passed(batch, operation)}
            if passed:
                yield batch, passed

    def _has_passed(self, batch: Batch, operation: Operation) -> bool:
        reached = self.reached.get((batch.tenant, (operation, batch.priority)))
        return reached is not None and batch.sent_at is not None and batch.sent_at + _OVERTAKEN < reached


def sweep_expired(*, store: ObjectStore, table: ItemTable, queues: WorkQueues, clock: Clock, file_ttl_s: int) -> Swept:
    """Do everything that is due now; return what that was.

    Raises:
        RetryableError: a service failed; what was done stands, and the next run does the rest.
    """
    swept = Swept()
    _expire_files(swept, store, table, clock)
    for batch_id in table.due_drafts(now=clock.now(), limit=_LIMIT):
        table.discard_batch(batch_id)
        swept.drafts_discarded += 1
    # Asked before anything is sent again: what one batch gets must not look like work that another one waits for.
    drained = _drained(queues)
    line = _Line()
    for batch in table.due_batches(now=clock.now(), limit=_LIMIT):
        _check_batch(batch.batch_id, swept, store, table, queues, drained, line, clock, file_ttl_s)
    for batch, operations in line.overtaken():
        _resend_queued(batch.batch_id, operations, swept, table, queues)
    return swept


def _drained(queues: WorkQueues) -> set[_Lane]:
    """Return the lanes in which nothing waits and of which nothing is out."""
    drained: set[_Lane] = set()
    for operation, queue in queues.items():
        backlogs = queue.backlogs()
        normal = backlogs[Priority.NORMAL]
        drained |= {(operation, priority) for priority in Priority if backlogs.get(priority, normal) == _EMPTY}
    return drained


def _expire_files(swept: Swept, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    due = table.due_files(now=clock.now() - timedelta(seconds=_GRACE_S), limit=_LIMIT)
    # The list may be old: an item may have pinned a file since.
    current = table.get_files([file.file_id for file in due])
    expired = [file for file in current.values() if file.is_expired(clock.now())]
    for file in expired:
        if file.parts_id is not None:
            store.abandon_parts(file.object_key, file.parts_id)
    store.delete([file.object_key for file in expired])
    with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
        swept.files_expired += sum(pool.map(table.settle_file, current.values()))


def _check_batch(
    batch_id: str,
    swept: Swept,
    store: ObjectStore,
    table: ItemTable,
    queues: WorkQueues,
    drained: Set[_Lane],
    line: _Line,
    clock: Clock,
    file_ttl_s: int,
) -> None:
    now = clock.now()
    found = table.load_batch(batch_id)
    if found is None:
        return
    batch, items = found
    if batch.deleted_at is not None:
        _clear(batch, batch.deleted_at + timedelta(seconds=file_ttl_s), swept, store, table, clock)
        return
    heard, spoken = _lengths_s(items, Operation.TRANSCRIBE), _lengths_s(items, Operation.VOICE_CLONE)
    swept.items_heard += len(heard)
    swept.audio_s += sum(heard)
    swept.items_spoken += len(spoken)
    swept.speech_s += sum(spoken)
    if drained.isdisjoint((item.operation, batch.priority) for item in items):
        line.add(batch, items)
    ended_at = finished_at(items)
    if ended_at is None:
        _move_on(batch, items, swept, table, queues, drained, now)
        return
    swept.batches_finished += close(batch, items, table=table, file_ttl_s=file_ttl_s)
    nobody_reads_at = ended_at + timedelta(seconds=file_ttl_s)
    if now < nobody_reads_at:
        table.postpone_batch(batch, next_check_at=nobody_reads_at)
        return
    # Objects of attempts that came too late, or whose worker died before it could move the item.
    store.delete(store.list_keys(results_prefix(batch.tenant, batch.batch_id)))
    # Every upload of it has expired by now, so that no item can be tried again.
    if telling := [item for item in items if item.text or item.prompt]:
        table.forget_texts(telling)
    table.retire_batch(batch)
    swept.batches_retired += 1


def _lengths_s(items: list[Item], operation: Operation) -> list[float]:
    return [item.audio_s for item in items if item.operation is operation and item.audio_s is not None]


def _clear(batch: Batch, until: datetime, swept: Swept, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    clear_batch(batch, store=store, table=table, clock=clock)
    if clock.now() < until:
        # A worker that had an item of it in hand may still write, and die before it removes that again.
        table.postpone_batch(batch, next_check_at=until)
    else:
        table.retire_batch(batch)
        swept.batches_retired += 1


def _move_on(
    batch: Batch,
    items: list[Item],
    swept: Swept,
    table: ItemTable,
    queues: WorkQueues,
    drained: Set[_Lane],
    now: datetime,
) -> None:
    age_s = (now - batch.created_at).total_seconds()
    next_check_at = now + timedelta(seconds=min(max(age_s, _LEAST_POSTPONE_S), _MOST_POSTPONE_S))
    if batch.sent_at is None:
        to_send = [item for item in items if item.status is ItemStatus.QUEUED]
    else:
        to_send = [item for item in items if not item.status.is_final and (item.operation, batch.priority) in drained]
    refused = send_items(to_send, queues, priority=batch.priority)
    if to_send:
        swept.batches_resent += 1
        swept.items_resent += len(to_send) - refused
    if batch.sent_at is None and not refused:
        table.mark_sent(batch, next_check_at=next_check_at)
    elif not refused:
        table.postpone_batch(batch, next_check_at=next_check_at)


def _resend_queued(
    batch_id: str, operations: Set[Operation], swept: Swept, table: ItemTable, queues: WorkQueues
) -> None:
    found = table.load_batch(batch_id)
    if found is None:
        return
    batch, items = found
    queued = [item for item in items if item.status is ItemStatus.QUEUED and item.operation in operations]
    if queued:
        swept.batches_resent += 1
        swept.items_resent += len(queued) - send_items(queued, queues, priority=batch.priority)
