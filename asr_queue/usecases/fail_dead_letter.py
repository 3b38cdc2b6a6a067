"""End an item that was tried too often."""

from asr_queue.domain.items import Item, ItemError
from asr_queue.ports import Clock, ItemTable, NoticeQueue
from asr_queue.usecases.close_batch import close, note_ended
from asr_queue.wire.messages import ItemMessage

_TOO_MANY_ATTEMPTS = ItemError(
    "too_many_attempts",
    "This item was given up: each attempt at it crashed or ran out of time. Check that the recording plays, then "
    "submit it again.",
)


def fail_dead_letter(
    message: ItemMessage, *, table: ItemTable, clock: Clock, file_ttl_s: int, notices: NoticeQueue | None = None
) -> Item | None:
    """Move the item that a dead letter names to `error`; return it, or None where it was final or gone.

    A batch that this finishes, or that was finished and not noted yet, is noted as finished.
    """
    found = table.load_batch(message.batch_id)
    if found is None or not 0 <= message.index < len(found[1]):
        return None
    item = found[1][message.index]
    if item.item_id != message.item_id or item.status.is_final:
        close(*found, table=table, file_ttl_s=file_ttl_s, notices=notices)
        return None
    failed = item.failed(_TOO_MANY_ATTEMPTS, now=clock.now())
    [is_ours] = table.finish_items([(failed, None)])
    note_ended({item.batch_id: 1 if is_ours else 0}, table=table, file_ttl_s=file_ttl_s, notices=notices)
    return failed if is_ours else None
