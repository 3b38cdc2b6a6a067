"""Whose batch it is, and whether it is there."""

from asr_queue.domain.batches import Batch
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import Item
from asr_queue.errors import CallerError
from asr_queue.ports import ItemTable


def visible_batch(batch_id: str, *, tenant: str | None, table: ItemTable) -> tuple[Batch, list[Item]]:
    """Return a batch and its items in order, as one reading has them.

    Args:
        batch_id: whatever the client sent.
        tenant: whose batches may be seen; None where the id alone is the right to see it.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`.
    """
    found = table.load_batch(batch_id) if is_id(batch_id) else None
    if found is None or (tenant is not None and found[0].tenant != tenant):
        raise CallerError("batch_not_found", f"There is no batch {batch_id!r}.", http_status=404)
    if found[0].deleted_at is not None:
        raise CallerError("batch_deleted", f"Batch {batch_id!r} was deleted.", http_status=410)
    return found
