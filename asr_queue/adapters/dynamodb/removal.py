"""Taking items out of the table, with the pins that they hold and what they count."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from asr_queue.adapters.dynamodb.calls import MAX_ACTIONS, ConditionFailedError, Delete, Table
from asr_queue.adapters.dynamodb.files import unpin
from asr_queue.adapters.dynamodb.rows import item_key
from asr_queue.adapters.dynamodb.usage import items_ended
from asr_queue.domain.items import Item, ItemStatus, pins_by_upload

_ITEMS_AT_ONCE: Final = (MAX_ACTIONS - 1) // 2
"""Items of one transaction: each goes and takes a pin away, beside the tenant's usage."""
OPEN: Final = {"queued": ItemStatus.QUEUED.value, "processing": ItemStatus.PROCESSING.value}
IS_OPEN: Final = "#status IN (:queued, :processing)"
"""Condition on an item's row: it may still change. With the values of OPEN."""


def remove_items(items: Sequence[Item], table: Table) -> None:
    """Remove items of one batch: final ones, and those that are unfinished still, with their pins.

    What somebody else has removed or finished meanwhile stays, and some others with it: read again.
    """
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        some = items[start : start + _ITEMS_AT_ONCE]
        unfinished = [item for item in some if not item.status.is_final]
        pins = pins_by_upload(unfinished).items()
        with suppress(ConditionFailedError):
            table.transact(
                [
                    *map(_delete, some),
                    *(unpin(upload_id, item_ids) for upload_id, item_ids in pins),
                    *items_ended(unfinished),
                ]
            )


def _delete(item: Item) -> Delete:
    key = item_key(item.batch_id, item.index)
    return Delete(key=key) if item.status.is_final else Delete(key=key, condition=IS_OPEN, values=OPEN)
