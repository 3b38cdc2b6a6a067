"""The queue's pulse: what waits, who works on it, and how fast."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from asr_queue.domain.batches import Batch, Priority
from asr_queue.domain.estimates import ASSUMED_ITEM_S, Surroundings
from asr_queue.domain.items import Item, ItemStatus, Operation
from asr_queue.domain.workers import WorkerReport
from asr_queue.ports import Backlog, Clock, ItemTable, WorkerRegistry, WorkQueues
from asr_queue.wire.api import LaneAnswer, QueueAnswer, WorkerAnswer
from asr_queue.wire.times import iso

_COUNTS_LAG_S: Final = 3.0
"""A message goes a moment after its item has ended, and from the counts later still, on a busy machine by seconds."""
_ORDER: Final = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One reading of the queue and the workers; a second or two old, as whoever keeps it likes."""

    taken_at: datetime
    backlogs: Mapping[Priority, Backlog]
    """By lane."""
    workers: Sequence[WorkerReport]
    """Those that live."""
    item_s: float
    """Seconds of audio that an item usually has."""

    @property
    def items(self) -> int:
        """Items that wait or are being worked on."""
        return sum(map(_messages, self.backlogs.values()))

    def ahead_of(self, priority: Priority) -> int:
        """Items that wait or are being worked on, of this priority or a higher one."""
        higher = _ORDER[: _ORDER.index(self._lane(priority)) + 1]
        return sum(_messages(lane) for one, lane in self.backlogs.items() if one in higher)

    def and_sent(self, items: int, priority: Priority) -> "Pulse":
        """Return the pulse with items that have been sent since."""
        lane = self._lane(priority)
        before = self.backlogs[lane]
        return replace(self, backlogs={**self.backlogs, lane: replace(before, visible=before.visible + items)})

    def _lane(self, priority: Priority) -> Priority:
        return priority if priority in self.backlogs else Priority.NORMAL

    @property
    def audio_s_per_s(self) -> float | None:
        """What the workers do together while they compute; None where none has measured itself."""
        known = [worker.audio_s_per_s for worker in self.workers if worker.audio_s_per_s is not None]
        # One that has just come will be about as fast as the others.
        return sum(known) * len(self.workers) / len(known) if known else None

    @property
    def done_s_per_s(self) -> float:
        """Seconds of audio that the workers really did in a second lately, idle time included."""
        return sum((worker.audio_s_per_s or 0.0) * worker.busy for worker in self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a batch's status is told by, beside its rows."""

    now: datetime
    pulse: Callable[[], Pulse | None]
    """Asked for unfinished batches alone; None where it cannot be felt."""
    assumed_item_s: float = ASSUMED_ITEM_S
    """Seconds of audio of an item, where neither the batch nor the pulse tells."""
    usd_per_hour: float = 0.0
    """What an hour of a worker's device costs; 0 for nobody knows."""


def take_pulse(
    operations: Sequence[Operation],
    *,
    queues: WorkQueues,
    registry: WorkerRegistry,
    table: ItemTable,
    clock: Clock,
    assumed_item_s: float,
) -> Pulse:
    """Ask the queues of the operations, the workers' reports and the table, once each.

    Workers do all operations in turn, so what waits of one is in the way of the others: it is one backlog.
    """
    taken_at = clock.now()
    backlogs = [queues[operation].backlogs() for operation in operations]
    lengths_s = [table.typical_item_s(operation) or assumed_item_s for operation in operations]
    return Pulse(
        taken_at=taken_at,
        backlogs=_together(backlogs),
        workers=registry.workers(now=taken_at),
        item_s=_mean_s(lengths_s, [sum(map(_messages, lanes.values())) for lanes in backlogs]),
    )


def _together(backlogs: Sequence[Mapping[Priority, Backlog]]) -> dict[Priority, Backlog]:
    lanes = dict.fromkeys(lane for lanes in backlogs for lane in lanes)
    return {
        lane: Backlog(
            visible=sum(one[lane].visible for one in backlogs if lane in one),
            in_flight=sum(one[lane].in_flight for one in backlogs if lane in one),
        )
        for lane in lanes
    }


def _mean_s(lengths_s: Sequence[float], messages: Sequence[int]) -> float:
    """Return the mean length of what waits; where nothing does, that of the first operation."""
    waiting = sum(messages)
    total_s = sum(length_s * number for length_s, number in zip(lengths_s, messages, strict=True))
    return total_s / waiting if waiting else lengths_s[0]


def _messages(lane: Backlog) -> int:
    return lane.visible + lane.in_flight


def surroundings(pulse: Pulse, batch: Batch, items: Sequence[Item], *, now: datetime) -> Surroundings:
    """Return what is around a batch.

    What is ahead of one that nobody has begun is at most what waited when it was submitted, less what the workers can
    have done since; and at most what there is of others now. SQS tells neither order nor owner, and of several tenants
    it serves the one first that has less in flight: the truth lies between nothing and this.
    """
    counted_at = pulse.taken_at - timedelta(seconds=_COUNTS_LAG_S)
    # Of its own items, those that the counts still have: an older pulse must not take them for somebody else's.
    own = sum(item.finished_at is None or item.finished_at > counted_at for item in items)
    others = max(0, pulse.items - own)
    is_begun = any(item.status is not ItemStatus.QUEUED for item in items)
    return Surroundings(
        workers=len(pulse.workers),
        audio_s_per_s=pulse.audio_s_per_s,
        others_items=others,
        ahead_items=0 if is_begun else _ahead(pulse, batch, own, now),
        item_s=pulse.item_s,
    )


def queue_state(pulse: Pulse) -> QueueAnswer:
    """Return the pulse for the wire."""
    return QueueAnswer(
        backlog=[
            LaneAnswer(priority=priority, visible=lane.visible, in_flight=lane.in_flight)
            for priority, lane in pulse.backlogs.items()
        ],
        waiting_audio_s=round(pulse.items * pulse.item_s, 3),
        audio_s_per_s=pulse.audio_s_per_s,
        workers=[_answer(worker) for worker in pulse.workers],
    )


def _ahead(pulse: Pulse, batch: Batch, own: int, now: datetime) -> int:
    present = max(0, pulse.ahead_of(batch.priority) - own)
    if batch.ahead_items is None:
        return present
    waited_s = max(0.0, (now - batch.created_at).total_seconds())
    done_since = int(waited_s * pulse.done_s_per_s / pulse.item_s)
    return min(present, max(0, batch.ahead_items - done_since))


def _answer(worker: WorkerReport) -> WorkerAnswer:
    return WorkerAnswer(
        worker_id=worker.worker_id,
        engine=worker.engine,
        started_at=iso(worker.started_at),
        seen_at=iso(worker.seen_at),
        held_items=worker.held_items,
        micro_batch_max=worker.micro_batch_max,
        micro_batch_fill=worker.micro_batch_fill,
        audio_s_per_s=worker.audio_s_per_s,
        busy=worker.busy,
        items_done=worker.items_done,
        audio_s_done=worker.audio_s_done,
        resident=sorted(worker.resident),
        swaps=worker.swaps,
        mean_swap_s=worker.mean_swap_s,
        device_bytes=worker.device_bytes,
    )
