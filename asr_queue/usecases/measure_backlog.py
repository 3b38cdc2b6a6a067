"""How much audio waits: the number that workers are scaled by.

SQS counts messages, and a message may be a word or a lecture. So what waits is taken to be as long as what was done
lately: the sweep reads the items of every batch that it looks at, and a running mean of their lengths is kept.
"""

from typing import Final

from asr_queue.domain.items import Operation
from asr_queue.ports import ItemTable, WorkQueues

_REMEMBERED_ITEMS: Final = 200
"""Weight of what was known before: after as many items of another kind, half of the mean is theirs."""


def measure_backlog(operation: Operation, *, queues: WorkQueues, table: ItemTable, assumed_item_s: float) -> float:
    """Return about how many seconds of audio wait for a worker or are with one; 0 exactly where nothing does.

    Args:
        operation: whose queue.
        queues: where the messages are counted.
        table: where the mean is kept.
        assumed_item_s: the length of an item, while nothing is known of any.
    """
    backlog = queues[operation].backlog()
    messages = backlog.visible + backlog.in_flight
    if not messages:
        return 0.0
    return messages * (table.typical_item_s(operation) or assumed_item_s)


def learn_item_length(operation: Operation, *, items: int, audio_s: float, table: ItemTable) -> None:
    """Let `items` finished items of `audio_s` seconds altogether move the running mean.

    Of two calls at once one counts.
    """
    if not items:
        return
    known_s = table.typical_item_s(operation)
    mean_s = (
        audio_s / items if known_s is None else (known_s * _REMEMBERED_ITEMS + audio_s) / (_REMEMBERED_ITEMS + items)
    )
    table.keep_typical_item_s(operation, mean_s)
