"""Delete a batch, finished or not.

    visible ──delete──▶ deleted ──items and transcripts removed──▶ empty ──the sweep looks once more──▶ gone

From the first step on nobody sees it. A process that dies in the middle leaves the rest to the sweep. Workers learn of
it by finding no item: what waits is not started, and what a worker has in hand is finished for nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from asr_queue.domain.batches import Batch
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import ItemStatus, results_prefix
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore

_PARALLEL_WRITES: Final = 16
_MOST_READINGS: Final = 10
"""Each reading finds fewer items: one that ended since the last goes with the next."""


def delete_batch(batch_id: str, *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    """Remove a batch, its items and their transcripts; unfinished ones are given up. Again changes nothing.

    Its uploads are files of their own: they live on to their own end, no longer than that for its sake.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too.
        RetryableError: it is deleted, and not everything is removed yet; calling again goes on.
    """
    found = table.load_batch(batch_id) if is_id(batch_id) else None
    if found is None or found[0].tenant != tenant:
        raise CallerError("batch_not_found", f"There is no batch {batch_id!r}.", http_status=404)
    batch, _ = found
    table.delete_batch(batch, now=clock.now())
    clear_batch(batch, store=store, table=table, clock=clock)


def clear_batch(batch: Batch, *, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    """Remove what is left of a deleted batch but its own row: items, pins, transcripts, what any attempt wrote.

    Raises:
        RetryableError: something is left.
    """
    for _ in range(_MOST_READINGS):
        found = table.load_batch(batch.batch_id)
        if found is None or not found[1]:
            store.delete(store.list_keys(results_prefix(batch.tenant, batch.batch_id)))
            return
        items = found[1]
        # Transcripts first: afterwards nothing would name them.
        files = table.get_files([item.item_id for item in items if item.status is ItemStatus.DONE])
        with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
            list(pool.map(partial(table.expire_file, now=clock.now()), files.values()))
        table.remove_items(items)
    raise RetryableError("deletion_unfinished", f"batch {batch.batch_id} is deleted, but items of it are left")
