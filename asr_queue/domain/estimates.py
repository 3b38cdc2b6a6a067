"""How long a batch's audio is, and when the batch will be finished.

    submit       first start         first end      last end    now               finish
      │  waits       │  fills the pipe  │               │        │                  │
      └──────────────┴──────────────────┴── its rate ───┴──── what is left / rate ──┘

Work is counted in seconds of the device: short clips cost more a second of audio than long recordings do, so what is
left is weighed by what the batch's own items have cost. The rate counts from the first end to the last one: before the
first, the pipe was filled, and perhaps with other batches' items; after the last, a pass goes on that nobody knows
of. Until a pass or two have told, what the workers say of themselves stands in for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final

from asr_queue.domain.items import Item, Operation

ASSUMED_ITEM_S: Final = 60.0
"""Seconds of audio that an item is taken to have, where nothing tells."""
CHARS_PER_S: Final = 15.0
"""About what people say in a second, in languages that are written with letters."""
_SAME_END_S: Final = 0.5
"""Items that shared a pass are recorded within this of one another."""
_LONGEST_S: Final = 14 * 86_400.0
"""SQS keeps a message no longer: what would take longer has no end in sight."""
_WINDOW_S: Final = 60.0
"""The rate is that of as long a time before the last end at least, and of half of the time since the first one."""
_SHARE: Final = 0.5
"""Of the workers' time, for a batch in company, until its own rate was seen."""
_LEAST_LEFT: Final = 0.2
"""Of the time for what is left, when the next end is overdue."""
_ALIKE: Final = 0.1
"""Coefficient of variation of lengths below which they tell nothing of how cost goes with length."""


class Basis(StrEnum):
    """What an estimate rests on, as the wire names it."""

    BATCH = "batch"
    """The batch's own progress."""
    WORKERS = "workers"
    """What the workers say of themselves, and what waits."""
    NONE = "none"
    """Nothing: nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is around a batch, as the queue and the workers tell it."""

    workers: int
    """Those that live."""
    audio_s_per_s: float | None
    """What they do together, while they compute; None where none of them has measured itself."""
    others_items: int
    """Unfinished items of other batches, ahead and behind."""
    ahead_items: int
    """Those that are ahead, at most."""
    item_s: float
    """Seconds of audio that an item usually has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """When a batch will be finished, and why that is believed."""

    basis: Basis
    seconds_left: float | None = None
    """From now; None exactly where the basis is `none`, as `finish_at`."""
    finish_at: datetime | None = None
    audio_s_per_s: float | None = None
    """What of the batch is done in a second from now on; None where nobody knows."""


def lengths_s(items: Sequence[Item], *, item_s: float) -> list[float]:
    """Return each item's seconds of audio: as decoded or made, else from the size of its upload, or from its text.

    Seconds a byte are those of the batch's decoded items of the same content type. Of a type that none of them has, the
    items are taken to be as long as the decoded ones in the mean: a recording may have twenty times the bytes in one
    type that it has in another. An item that ended without being decoded counts as nothing.

    Args:
        item_s: what an item has, where the batch tells nothing.
    """
    recordings = [item for item in items if item.operation is Operation.TRANSCRIBE]
    decoded = [item for item in recordings if item.audio_s]
    mean_s = _mean([item.audio_s or 0.0 for item in decoded]) if decoded else item_s
    s_per_byte: dict[str, float] = {}
    for kind in {item.upload_type for item in recordings}:
        sized = [item for item in recordings if item.upload_type == kind and item.upload_bytes]
        known = [item for item in sized if item.audio_s]
        if known:
            s_per_byte[kind] = sum(item.audio_s or 0.0 for item in known) / sum(item.upload_bytes for item in known)
        elif sized and decoded:
            s_per_byte[kind] = mean_s / _mean([item.upload_bytes for item in sized])

    def length_s(item: Item) -> float:
        if item.audio_s is not None or item.status.is_final:
            return item.audio_s or 0.0
        if item.operation is Operation.VOICE_CLONE:
            return len(item.text) / CHARS_PER_S
        if not item.upload_bytes or item.upload_type not in s_per_byte:
            return mean_s
        return item.upload_bytes * s_per_byte[item.upload_type]

    return [length_s(item) for item in items]


def estimate(
    items: Sequence[Item], lengths: Sequence[float], *, now: datetime, around: Surroundings | None
) -> Estimate:
    """Return when a batch will be finished.

    Args:
        items: all of the batch; one at least is not final.
        lengths: seconds of audio of each, as `lengths_s` has them.
        now: the instant of this reading.
        around: None where nothing could be learned of it.
    """
    left_audio_s = sum(length for item, length in zip(items, lengths, strict=True) if not item.status.is_final)
    is_dead = around is not None and around.workers == 0
    own_s = None if is_dead else _by_own_pace(items, lengths, now, around)
    if own_s is not None:
        return _answer(Basis.BATCH, own_s, left_audio_s, now)
    if is_dead or around is None or not around.audio_s_per_s:
        return Estimate(basis=Basis.NONE)
    waiting_s = left_audio_s + around.ahead_items * around.item_s
    return _answer(Basis.WORKERS, waiting_s / around.audio_s_per_s, left_audio_s, now)


def _answer(basis: Basis, seconds_left: float, left_audio_s: float, now: datetime) -> Estimate:
    if seconds_left > _LONGEST_S:
        return Estimate(basis=Basis.NONE)
    rate = left_audio_s / seconds_left if seconds_left > 0 else None
    return Estimate(
        basis=basis,
        seconds_left=seconds_left,
        finish_at=now + timedelta(seconds=seconds_left),
        audio_s_per_s=rate,
    )


def _by_own_pace(
    items: Sequence[Item], lengths: Sequence[float], now: datetime, around: Surroundings | None
) -> float | None:
    """Return how long the rest takes by the batch's own progress; None before anything of it has ended."""
    cost_of, is_device_time = _costs(items, lengths)
    ends: list[tuple[float, float]] = []
    left = 0.0
    for item, length in zip(items, lengths, strict=True):
        if not item.status.is_final:
            left += cost_of(length)
        elif item.finished_at is not None and length > 0:
            cost = cost_of(length) if item.device_s is None else item.device_s
            ends.append((_age_s(now, item.finished_at), cost))
    starts = [_age_s(now, item.started_at) for item in items if item.started_at is not None]
    if not ends or not starts:
        return None
    ends.sort(reverse=True)
    ages = [age for age, _ in ends]
    # From one pass's end to the next one's, or until the first: so long nobody knows how far the one that runs is.
    gap_s = max((older - younger for older, younger in pairwise(ages)), default=0.0)
    gap_s = gap_s if gap_s > _SAME_END_S else max(starts) - ages[0]

    window_s = max(_WINDOW_S, (ages[0] - ages[-1]) / 2)
    seen = [(age, cost) for age, cost in ends if age <= ages[-1] + window_s]
    seen_s = seen[0][0] - ages[-1]
    done = sum(cost for age, cost in seen if age < seen[0][0] - _SAME_END_S)

    # What is believed beforehand has the weight of one such gap.
    prior = _prior(ends, max(starts), around, is_device_time=is_device_time)
    rate = (done + prior * gap_s) / (seen_s + gap_s) if seen_s + gap_s > 0 else prior
    if rate <= 0:
        return None
    rest_s = left / rate
    if around is not None and is_device_time and around.workers:
        # Others' items end some time, and then theirs is ours.
        rest_s = min(rest_s, (left + around.others_items * cost_of(around.item_s)) / around.workers)
    # What is left takes some time, however long its pass is overdue.
    return max(_LEAST_LEFT * rest_s, rest_s - min(ages[-1], gap_s))


def _prior(
    ends: Sequence[tuple[float, float]], first_start_age_s: float, around: Surroundings | None, *, is_device_time: bool
) -> float:
    """Return the rate that is believed before any was seen: all workers, or, with company, half of them."""
    if around is not None and is_device_time:
        return around.workers * (_SHARE if around.others_items else 1.0)
    elapsed_s = first_start_age_s - ends[-1][0]
    return sum(cost for _, cost in ends) / elapsed_s if elapsed_s > 0 else 0.0


def _costs(items: Sequence[Item], lengths: Sequence[float]) -> tuple[Callable[[float], float], bool]:
    """Return what an item of a length costs, and whether that is in the device's seconds, or in its own."""
    known = [
        (length, item.device_s) for item, length in zip(items, lengths, strict=True) if item.device_s and length > 0
    ]
    if not known:
        return (lambda length: length), False
    n = len(known)
    mean_length, mean_cost = sum(length for length, _ in known) / n, sum(cost for _, cost in known) / n
    variance = sum((length - mean_length) ** 2 for length, _ in known) / n
    base, slope = 0.0, mean_cost / mean_length
    if variance > (_ALIKE * mean_length) ** 2:
        covariance = sum((length - mean_length) * (cost - mean_cost) for length, cost in known) / n
        # A line through the mean, neither of whose parts is negative.
        slope = min(max(covariance / variance, 0.0), slope)
        base = mean_cost - slope * mean_length
    return (lambda length: base + slope * length), True


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _age_s(now: datetime, instant: datetime) -> float:
    return max(0.0, (now - instant).total_seconds())
