"""Cancel a batch, or an item of it: what has not ended, ends now.

It ends as every other item does, by one conditional write: a worker that has it in hand finds its own write refused and
removes what it wrote, and a message that is left finds the item final.
"""

from typing import Final

from asr_queue.domain.items import CANCELLED, ItemError
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, NoticeQueue
from asr_queue.usecases.close_batch import note_ended
from asr_queue.usecases.visible_batch import visible_batch

_CANCELLED: Final = ItemError(CANCELLED, "This item was cancelled before it was done. Submit it again if it is wanted.")


def cancel_items(
    batch_id: str,
    *,
    tenant: str,
    table: ItemTable,
    clock: Clock,
    file_ttl_s: int,
    item_id: str | None = None,
    notices: NoticeQueue | None = None,
) -> int:
    """Move the unfinished items of a batch, or that one item, to `error`; return how many that were.

    What is final stays as it is, so that calling again changes nothing and returns 0. A batch that this finishes is
    noted as finished.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`; `item_not_found`.
    """
    _, items = visible_batch(batch_id, tenant=tenant, table=table)
    if item_id is not None:
        items = [item for item in items if item.item_id == item_id]
        if not items:
            raise CallerError("item_not_found", f"Batch {batch_id} has no item {item_id!r}.", http_status=404)
    now = clock.now()
    ended = [(item.failed(_CANCELLED, now=now), None) for item in items if not item.status.is_final]
    cancelled = sum(table.finish_items(ended))
    note_ended({batch_id: cancelled}, table=table, file_ttl_s=file_ttl_s, notices=notices)
    return cancelled
