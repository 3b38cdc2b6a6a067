"""Publish what became of items: write the result, then move the item."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from asr_queue.domain.files import File, FileKind
from asr_queue.domain.items import Item, ItemError
from asr_queue.ports import Clock, ItemTable, NoticeQueue, ObjectStore
from asr_queue.usecases.close_batch import note_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt at an item ended."""

    item: Item
    """As it was claimed."""
    audio_s: float | None = None
    """Length of the audio; None where it could not be decoded."""
    device_s: float | None = None
    """Its share of the seconds that the device spent in passes."""
    micro_batch: int | None = None
    """Most chunks that shared a pass with it."""
    result_bytes: int | None = None
    """Size of the result that `write_result` wrote; None where the item failed."""
    error: ItemError | None = None
    """Set exactly where the item failed."""


def write_result(item: Item, data: bytes, *, store: ObjectStore) -> int:
    """Write a result under the key of the item's attempt, where nobody sees it yet; return its size in bytes."""
    store.put(item.attempt_key(), data, content_type=item.result_type)
    return len(data)


def record_outcomes(
    outcomes: Sequence[Outcome],
    *,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    file_ttl_s: int,
    notices: NoticeQueue | None = None,
) -> list[bool]:
    """Move items to their final state, and register their results for `file_ttl_s` seconds.

    Batches that this finishes are noted as finished.

    Returns:
        For each: whether this attempt is the one that counts. Either way the item is final, and its message may be
        acknowledged; the object of an attempt that came too late is removed.

    Raises:
        RetryableError: nothing is known; no message may be acknowledged. Calling again is always safe.
    """
    now = clock.now()
    finished = [_finished(outcome, now, file_ttl_s) for outcome in outcomes]
    counts = table.finish_items(finished)
    late = [item.attempt_key() for (item, file), ours in zip(finished, counts, strict=True) if file and not ours]
    if late:
        store.delete(late)
    ended = Counter(outcome.item.batch_id for outcome, ours in zip(outcomes, counts, strict=True) if ours)
    # Whoever was first may have died before it counted: there the items themselves are asked.
    overtaken = {outcome.item.batch_id for outcome, ours in zip(outcomes, counts, strict=True) if not ours}
    note_ended({**ended, **dict.fromkeys(overtaken, 0)}, table=table, file_ttl_s=file_ttl_s, notices=notices)
    return counts


def _finished(outcome: Outcome, now: datetime, file_ttl_s: int) -> tuple[Item, File | None]:
    if outcome.error is not None:
        failed = outcome.item.failed(
            outcome.error,
            now=now,
            audio_s=outcome.audio_s,
            device_s=outcome.device_s,
            micro_batch=outcome.micro_batch,
        )
        return failed, None
    if outcome.audio_s is None or outcome.result_bytes is None:
        raise ValueError(f"item {outcome.item.item_id} neither failed nor has a result")
    item = outcome.item.done(
        now=now, audio_s=outcome.audio_s, device_s=outcome.device_s, micro_batch=outcome.micro_batch
    )
    file = File(
        file_id=item.item_id,
        tenant=item.tenant,
        kind=FileKind.RESULT,
        object_key=item.attempt_key(),
        size_bytes=outcome.result_bytes,
        content_type=item.result_type,
        created_at=now,
        expires_at=now + timedelta(seconds=file_ttl_s),
        file_name=item.result_name,
    )
    return item, file
