"""Traffic of two operations, in the order in which it comes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation

MICRO_BATCH = 16
"""Items of a pass, at most."""
_SENDING_S = 0.005
"""A message: ten in a call of 50 ms."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An item of one chunk."""

    operation: Operation
    at_s: float
    priority: Priority = Priority.NORMAL


def interleaved(items: int) -> list[Sent]:
    """Return items of two operations by turns, sent as fast as a submit sends messages."""
    return [Sent(operation, _SENDING_S * n) for n, operation in enumerate(islice(cycle(Operation), items))]


def paced(
    items: int, *, utilisation: float, pass_s: Mapping[Operation, float], ratio: int = 1, chance: random.Random
) -> list[Sent]:
    """Return items that come one by one, at random moments.

    Args:
        items: how many.
        utilisation: share of the time that passes would take if all were full and models never changed.
        pass_s: what they take.
        ratio: items of the first operation for each one of the second.
        chance: draws the moments and the operations.
    """
    weights = dict(zip(Operation, (ratio, 1), strict=True))
    item_s = sum(pass_s[one] * weight for one, weight in weights.items()) / sum(weights.values()) / MICRO_BATCH
    at_s, sent = 0.0, []
    for operation in chance.choices(list(weights), list(weights.values()), k=items):
        at_s += chance.expovariate(utilisation / item_s)
        sent.append(Sent(operation, at_s))
    return sent


def prioritised(sent: Sequence[Sent], *, chance: random.Random) -> list[Sent]:
    """Return the same items with priorities: one in ten is high, three are low."""
    drawn = chance.choices([Priority.HIGH, Priority.NORMAL, Priority.LOW], [1, 6, 3], k=len(sent))
    return [replace(one, priority=priority) for one, priority in zip(sent, drawn, strict=True)]


def bursts(count: int, *, items: int, every_s: float, chance: random.Random) -> list[Sent]:
    """Return bursts, each of so many items of one operation, drawn, after pauses of `every_s` in the mean."""
    at_s, sent = 0.0, []
    for _ in range(count):
        at_s += chance.expovariate(1 / every_s)
        sent += [Sent(chance.choice(list(Operation)), at_s)] * items
    return sent


def oracle_s(sent: Sequence[Sent], *, pass_s: Mapping[Operation, float], swap_s: float) -> float:
    """Return a time before which no worker whatever can have done everything, not even one that knows what will come.

    What comes at or after a moment needs full micro-batches at best, all of them after that moment; and a swap, if it
    is of both operations. The latest of those ends, over all moments at which something comes. Bounds are not asked
    for, so it may well be out of reach.
    """
    counts, latest_s = dict.fromkeys(Operation, 0), 0.0
    for n_left, one in enumerate(reversed(sent), start=1):
        counts[one.operation] += 1
        before = sent[-n_left - 1].at_s if n_left < len(sent) else None
        if before != one.at_s:
            work_s = sum(-(-count // MICRO_BATCH) * pass_s[each] for each, count in counts.items())
            latest_s = max(latest_s, one.at_s + work_s + (swap_s if all(counts.values()) else 0.0))
    return latest_s
