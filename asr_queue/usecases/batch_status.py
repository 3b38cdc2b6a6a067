"""How far a batch has come."""

from asr_queue.domain.batches import Progress
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import Item
from asr_queue.errors import CallerError
from asr_queue.ports import ItemTable
from asr_queue.wire.api import ItemAnswer, StatusAnswer

FILES_PATH = "/api/v1/files/"
STATUS_PATH = "/api/v1/queue/status/"


def batch_status(batch_id: str, *, tenant: str | None, table: ItemTable) -> StatusAnswer:
    """Return a batch with its items; its status and counts come from one reading of them.

    Args:
        batch_id: whatever the client sent.
        tenant: whose batches may be seen; None where the id alone is the right to see it.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`.
    """
    found = table.load_batch(batch_id) if is_id(batch_id) else None
    if found is None or (tenant is not None and found[0].tenant != tenant):
        raise CallerError("batch_not_found", f"There is no batch {batch_id!r}.", http_status=404)
    batch, items = found
    if batch.deleted_at is not None:
        raise CallerError("batch_deleted", f"Batch {batch_id!r} was deleted.", http_status=410)
    progress = Progress.of(items)
    return StatusAnswer(
        batch_id=batch.batch_id,
        label=batch.label,
        status=progress.status,
        completed=progress.completed,
        failed=progress.failed,
        total=progress.total,
        items=[_answer(item, is_keyed=tenant is not None) for item in items],
    )


def _answer(item: Item, *, is_keyed: bool) -> ItemAnswer:
    return ItemAnswer(
        item_id=item.item_id,
        custom_id=item.custom_id,
        ref_audio=item.upload_id if is_keyed else None,
        status=item.status,
        url=None if item.result_key is None else FILES_PATH + item.result_name,
        error=None if item.error is None else item.error.message,
        error_code=None if item.error is None else item.error.code,
        audio_s=item.audio_s,
    )
