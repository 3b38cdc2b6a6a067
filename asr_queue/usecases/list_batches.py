"""The batches of a tenant, newest first, a page at a time."""

import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from asr_queue.domain.batches import Batch, BatchStatus, Progress, finished_at
from asr_queue.domain.ids import is_id
from asr_queue.errors import CallerError
from asr_queue.ports import BatchListing, BatchPlace, ItemTable
from asr_queue.wire.api import BatchAnswer, BatchesAnswer
from asr_queue.wire.times import iso, iso_or_none

_PARALLEL_READS: Final = 16
_LOOKS: Final = 3
_AT_ONCE: Final = 100
"""A request looks so often at so many batches for those that a filter lets through; the next page goes on."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """Which batches; None for any."""

    label: str | None = None
    state: BatchStatus | None = None
    created_from: datetime | None = None
    """Those made then or later."""
    created_to: datetime | None = None
    """Those made before."""


def list_batches(
    wanted: BatchFilter, *, tenant: str, limit: int, cursor: str | None, listing: BatchListing, table: ItemTable
) -> BatchesAnswer:
    """Return up to `limit` batches, newest first, and what leads to the next page, None where there is none.

    A page may be short, or empty, and have a next one all the same: a request looks at 300 batches at most.

    Args:
        wanted: which batches.
        tenant: whose.
        limit: at least 1.
        cursor: `next_cursor` of the page before; None for the first.
        listing: where batches are found.
        table: where the items of those are that have not ended: what is told of a batch is derived from them.

    Raises:
        CallerError: `invalid_cursor`.
    """
    after = None if cursor is None else _read_cursor(cursor, tenant)
    is_whole = wanted.label is None and wanted.state is None
    looks, at_once = (1, limit) if is_whole else (_LOOKS, _AT_ONCE)
    answers: list[BatchAnswer] = []
    for _ in range(looks):
        batches = listing.page(
            tenant, limit=at_once, after=after, created_from=wanted.created_from, created_to=wanted.created_to
        )
        for batch, answer in zip(batches, _answers(batches, wanted, table), strict=True):
            after = BatchPlace(created_at=batch.created_at, batch_id=batch.batch_id)
            if answer is not None:
                answers.append(answer)
            if len(answers) == limit:
                return BatchesAnswer(batches=answers, next_cursor=_cursor(after, tenant))
        if len(batches) < at_once:
            return BatchesAnswer(batches=answers, next_cursor=None)
    return BatchesAnswer(batches=answers, next_cursor=None if after is None else _cursor(after, tenant))


def _answers(batches: Sequence[Batch], wanted: BatchFilter, table: ItemTable) -> list[BatchAnswer | None]:
    """Return what is told of each batch; None of one that is not wanted, or has gone meanwhile."""

    def answer(batch: Batch) -> BatchAnswer | None:
        if wanted.label is not None and batch.label != wanted.label:
            return None
        told = _told(batch, table)
        return None if told is None or wanted.state not in (None, told.status) else told

    if not batches:
        return []
    with ThreadPoolExecutor(min(_PARALLEL_READS, len(batches))) as pool:
        return list(pool.map(answer, batches))


def _told(batch: Batch, table: ItemTable) -> BatchAnswer | None:
    # A batch that was noted as finished never changes, so that its own row tells it all.
    if batch.finished_at is not None and batch.completed is not None and batch.failed is not None:
        ended_at: datetime | None = batch.finished_at
        progress = Progress(total=batch.total, queued=0, processing=0, completed=batch.completed, failed=batch.failed)
    else:
        found = table.load_batch(batch.batch_id)
        if found is None or found[0].deleted_at is not None:
            return None
        ended_at, progress = finished_at(found[1]), Progress.of(found[1])
    return BatchAnswer(
        batch_id=batch.batch_id,
        label=batch.label,
        status=progress.status,
        priority=batch.priority,
        completed=progress.completed,
        failed=progress.failed,
        queued=progress.queued,
        processing=progress.processing,
        total=progress.total,
        created_at=iso(batch.created_at),
        finished_at=iso_or_none(ended_at),
        retry_of=batch.retry_of,
    )


def _cursor(place: BatchPlace, tenant: str) -> str:
    milliseconds = (place.created_at - _EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(f"{tenant}/{milliseconds}/{place.batch_id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str, tenant: str) -> BatchPlace:
    refusal = CallerError("invalid_cursor", "The cursor is none that this list has given; begin without one.")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        whose, milliseconds, batch_id = text.rsplit("/", 2)
        place = BatchPlace(created_at=_EPOCH + timedelta(milliseconds=int(milliseconds)), batch_id=batch_id)
    except (binascii.Error, ValueError, OverflowError):
        raise refusal from None
    if whose != tenant or not is_id(batch_id) or _cursor(place, tenant) != cursor:
        raise refusal
    return place
