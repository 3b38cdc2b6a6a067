"""Taking messages from the queue and starting their items."""

import logging
from collections.abc import Sequence

from asr_queue.errors import PoisonError
from asr_queue.ports import Clock, Delivery, ItemTable, NoticeQueue
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.close_batch import close_batch
from asr_queue.wire.messages import ItemMessage
from gpu_worker.leases import Leases
from gpu_worker.work import Claimed, Received

_logger = logging.getLogger(__name__)


def hold(deliveries: Sequence[Delivery], leases: Leases) -> list[Received]:
    """Read what was received, and keep them hidden from now on.

    A message that names no item is left alone: it comes back each time its visibility timeout ends, until SQS moves
    it to the dead-letter queue, where somebody is told.
    """
    received = []
    for delivery in deliveries:
        try:
            message = ItemMessage.parse(delivery.body)
        except PoisonError as error:
            _logger.warning("message_poisoned", extra={"code": error.code, "receive_count": delivery.receive_count})
            continue
        leases.hold(delivery.receipt_handle, item_id=message.item_id)
        received.append(Received(message=message, delivery=delivery))
    return received


def claim(
    received: Received, *, table: ItemTable, clock: Clock, file_ttl_s: int, notices: NoticeQueue | None = None
) -> Claimed | None:
    """Start an item; None where there is nothing left to do but to acknowledge.

    Then its batch is looked at: whoever ended the item may have died before it could say so.

    Raises:
        RetryableError: the table is away.
    """
    item = claim_item(received.message, table=table, clock=clock)
    if item is None:
        close_batch(received.message.batch_id, table=table, file_ttl_s=file_ttl_s, notices=notices)
        return None
    return Claimed(item=item, delivery=received.delivery)
