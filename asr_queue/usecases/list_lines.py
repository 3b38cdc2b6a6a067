"""A tenant's batches of lines, newest first, a page at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from asr_queue.domain.batches import Batch
from asr_queue.domain.ids import is_id
from asr_queue.errors import CallerError
from asr_queue.ports import BatchListing, BatchPlace, Clock, ItemTable, ObjectStore
from asr_queue.usecases.lines_batch import LinesBatch, load_lines
from asr_queue.usecases.submit_lines import LABEL

_LOOKS: Final = 10
_AT_ONCE: Final = 100
"""A request looks so often at so many batches, others among them."""
_PARALLEL_READS: Final = 16


def list_lines(
    *,
    tenant: str,
    after: str | None,
    limit: int,
    listing: BatchListing,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    file_ttl_s: int,
) -> tuple[list[LinesBatch], bool]:
    """Return up to `limit` batches of lines that have not expired, and whether others follow.

    Args:
        after: id of the batch that the page before ended with; it may have expired, or been deleted, since.
        limit: at least 1.

    Raises:
        CallerError: `batch_not_found`: there is no such `after`, or it is another tenant's.
    """

    def load(batch: Batch) -> LinesBatch | None:
        try:
            return load_lines(
                batch.batch_id, tenant=tenant, store=store, table=table, clock=clock, file_ttl_s=file_ttl_s
            )
        except CallerError:
            return None  # it went meanwhile

    def is_wanted(batch: Batch) -> bool:
        life = timedelta(seconds=file_ttl_s)
        return batch.label == LABEL and (batch.finished_at is None or clock.now() < batch.finished_at + life)

    wanted = filter(is_wanted, _newest_first(tenant, None if after is None else _place(after, tenant, table), listing))
    found: list[LinesBatch] = []
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        while len(found) <= limit:
            some = [batch for batch, _ in zip(wanted, range(min(limit + 1, _PARALLEL_READS)), strict=False)]
            if not some:
                break
            found += [one for one in pool.map(load, some) if one is not None]
    return found[:limit], len(found) > limit


def _newest_first(tenant: str, after: BatchPlace | None, listing: BatchListing) -> Iterator[Batch]:
    for _ in range(_LOOKS):
        page = listing.page(tenant, limit=_AT_ONCE, after=after)
        yield from page
        if len(page) < _AT_ONCE:
            return
        after = BatchPlace(created_at=page[-1].created_at, batch_id=page[-1].batch_id)


def _place(batch_id: str, tenant: str, table: ItemTable) -> BatchPlace:
    found = table.load_batch(batch_id) if is_id(batch_id) else None
    if found is None or found[0].tenant != tenant:
        raise CallerError("batch_not_found", f"There is no batch {batch_id!r}.", http_status=404)
    return BatchPlace(created_at=found[0].created_at, batch_id=batch_id)
