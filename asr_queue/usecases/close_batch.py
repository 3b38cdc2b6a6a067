"""Notice that a batch is finished, soon after its last item has ended.

    items ended ──a count on the batch's row──▶ perhaps all have ──its items are read──▶ finished, noted once

The items are the truth, and the count is a hint. One that came too high costs a reading. One that stayed too low, since
its process died before it counted, is made good: the message of that process comes again, finds its item final, and
then the items are read; and the sweep looks at every batch.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Final

from asr_queue.domain.batches import Batch, Progress, finished_at
from asr_queue.domain.items import Item
from asr_queue.domain.notices import Notice
from asr_queue.errors import RetryableError
from asr_queue.ports import ItemTable, NoticeQueue

_AT_ONCE: Final = 16
"""Batches that are looked at at the same time: items that end together may be of as many."""


def note_ended(
    ended: Mapping[str, int], *, table: ItemTable, file_ttl_s: int, notices: NoticeQueue | None = None
) -> int:
    """Count items that have ended, and note which batches that finishes; return how many.

    Call it when the items' new states are written and before anything is acknowledged.

    Args:
        ended: how many items of each batch, by its id; 0 where that is not known: then its items are read.
        file_ttl_s: life of a transcript: how long after its end a batch is of use.
        notices: where the notification function learns of it at once; None leaves that to the sweep.

    Raises:
        RetryableError: not all was noted; calling again is safe.
    """

    def look(batch_id: str) -> bool:
        count = ended[batch_id]
        if count and not table.count_ended(batch_id, count):
            return False
        return close_batch(batch_id, table=table, file_ttl_s=file_ttl_s, notices=notices)

    if len(ended) <= 1:
        return sum(map(look, ended))
    with ThreadPoolExecutor(min(_AT_ONCE, len(ended))) as pool:
        return sum(pool.map(look, ended))


def close_batch(batch_id: str, *, table: ItemTable, file_ttl_s: int, notices: NoticeQueue | None = None) -> bool:
    """Read a batch's items, and note its end where all of them are final; return whether this call did."""
    batch = table.get_batch(batch_id)
    if batch is None or batch.finished_at is not None:
        return False  # of a cancelled batch every message that is left asks, and its items are a thousand rows
    found = table.load_batch(batch_id)
    return found is not None and close(*found, table=table, file_ttl_s=file_ttl_s, notices=notices)


def close(
    batch: Batch,
    items: Sequence[Item],
    *,
    table: ItemTable,
    file_ttl_s: int,
    notices: NoticeQueue | None = None,
) -> bool:
    """Note the end of a batch whose items have been read; return whether this call did."""
    ended_at = finished_at(items)
    if ended_at is None or batch.finished_at is not None or batch.deleted_at is not None:
        return False
    notice = Notice.of(batch, Progress.of(items), finished_at=ended_at)
    if not table.finish_batch(notice, read_until=ended_at + timedelta(seconds=file_ttl_s)):
        return False
    if notices is not None:
        with suppress(RetryableError):  # the notice is due; the sweep finds it
            notices.send(batch.batch_id, tenant=batch.tenant)
    return True
