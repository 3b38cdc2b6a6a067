"""What takes items out of the table, with the pins that they hold."""

from collections.abc import Sequence
from typing import Final

from asr_queue.adapters.dynamodb.calls import MAX_ACTIONS, Action, Delete
from asr_queue.adapters.dynamodb.files import unpin
from asr_queue.adapters.dynamodb.rows import item_key
from asr_queue.domain.items import Item, ItemStatus, pins_by_upload

ITEMS_REMOVED_AT_ONCE: Final = MAX_ACTIONS // 2
"""Items of one transaction: each goes, and takes a pin away."""
OPEN: Final = {"queued": ItemStatus.QUEUED.value, "processing": ItemStatus.PROCESSING.value}
IS_OPEN: Final = "#status IN (:queued, :processing)"
"""Condition on an item's row: it may still change. With the values of OPEN."""


def removal(items: Sequence[Item]) -> list[Action]:
    """Return the actions that remove items: final ones, and those that are unfinished still, with their pins."""
    unfinished = [item for item in items if not item.status.is_final]
    return [
        *(
            Delete(key=item_key(item.batch_id, item.index))
            if item.status.is_final
            else Delete(key=item_key(item.batch_id, item.index), condition=IS_OPEN, values=OPEN)
            for item in items
        ),
        *(unpin(upload_id, item_ids) for upload_id, item_ids in pins_by_upload(unfinished).items()),
    ]
