"""What a worker knows of its queues: how much waits in them, and since when it may have.

SQS says how many messages wait, about, but not since when. That follows from when nothing waited, and from when those
messages were sent that have been received:

    a look finds nothing       nothing that waits later was sent before that look
    a receive is not filled    the same, of every lane
    a receive is filled        what is left in a lane was not sent before the oldest of those that came from it

So an operation is believed to have waited at least as long as it has, as far as its lanes hand out messages about in
the order in which they came. Not counted: what a tenant's own crowd holds up, which is passed over by design, and
messages that came back, whose wait for the model is over.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.domain.lanes import WEIGHTS
from asr_queue.ports import Backlog, Delivery
from gpu_worker.scheduler import Demand


@dataclass(slots=True)
class _Lane:
    """What is known of one queue."""

    since_s: float
    """Nothing that waits was sent before this instant."""
    waiting: int = 0


class Demands:
    """Turns looks and receives into demands; safe to use from several threads."""

    def __init__(
        self, operations: Iterable[Operation], *, bound_s: float, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Know nothing yet: what waits already counts as having come just now.

        Args:
            operations: whose queues these are.
            bound_s: longest that a message of normal priority is to wait.
            seconds: a clock that never goes back.
        """
        self._bound_s = bound_s
        self._seconds = seconds
        self._lanes = {operation: {lane: _Lane(seconds()) for lane in Priority} for operation in operations}
        self._lock = threading.Lock()

    def bound_s(self, priority: Priority) -> float:
        """Return how long a message is to wait at most: as its lane's turns are, half for high and four times for low.

        So the weights by which lanes share an operation (8 to 4 to 1) also say how soon its model has to come for them.
        """
        return self._bound_s * WEIGHTS[Priority.NORMAL] / WEIGHTS[priority]

    def looked(self, operation: Operation, backlogs: Mapping[Priority, Backlog]) -> None:
        """Note what was counted, by lane."""
        with self._lock:
            for priority, backlog in backlogs.items():
                self._count(self._lanes[operation][priority], backlog.visible)

    def received(self, operation: Operation, deliveries: Sequence[Delivery], *, wanted: int, now: datetime) -> None:
        """Note what a receive brought.

        Args:
            operation: whose queues were asked.
            deliveries: fewer than wanted: nothing more waits.
            wanted: most that it could have brought.
            now: by the clock that the messages were sent by.
        """
        with self._lock:
            lanes = self._lanes[operation]
            if len(deliveries) < wanted:
                for lane in lanes.values():
                    self._count(lane, 0)
                return
            came: dict[Priority, list[datetime]] = defaultdict(list)
            for delivery in deliveries:
                came[priority_of(delivery)].append(delivery.sent_at)
            for priority, sent in came.items():
                lane = lanes[priority]
                oldest_s = self._seconds() - (now - min(sent)).total_seconds()
                lane.since_s = max(lane.since_s, oldest_s)
                # More may wait than the last look saw.
                lane.waiting = max(lane.waiting - len(sent), 1)

    def now(self) -> dict[Operation, Demand]:
        """Return what waits in the queues of each operation."""
        with self._lock:
            return {operation: self._demand(lanes) for operation, lanes in self._lanes.items()}

    def _count(self, lane: _Lane, waiting: int) -> None:
        if not waiting:
            lane.since_s = self._seconds()
        lane.waiting = waiting

    def _demand(self, lanes: Mapping[Priority, _Lane]) -> Demand:
        now_s = self._seconds()
        slacks_s = [self.bound_s(priority) - (now_s - lane.since_s) for priority, lane in lanes.items() if lane.waiting]
        return Demand(waiting=sum(lane.waiting for lane in lanes.values()), slack_s=min(slacks_s, default=math.inf))


def priority_of(delivery: Delivery) -> Priority:
    """Return the lane that a delivery came by; its handle names it, behind its operation, where there are lanes."""
    names = delivery.receipt_handle.split(":")[:-1]
    return next((priority for priority in Priority if priority.value in names), Priority.NORMAL)
