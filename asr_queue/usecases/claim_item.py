"""Start an item."""

from asr_queue.domain.items import Item
from asr_queue.ports import Clock, ItemTable
from asr_queue.wire.messages import ItemMessage


def claim_item(message: ItemMessage, *, table: ItemTable, clock: Clock) -> Item | None:
    """Start the item that a message names, and return it as the worker has to do it.

    Returns None where there is nothing to do, so that the message can be acknowledged: the item is final, gone, or
    not the one that was meant.
    """
    item = table.claim_item(message.batch_id, message.index, now=clock.now())
    return item if item is not None and item.item_id == message.item_id else None
