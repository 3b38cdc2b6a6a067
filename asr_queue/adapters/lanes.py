"""One queue of several: a lane for each priority, served in turns."""

import threading
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final

from asr_queue.adapters.queue_group import QueueGroup
from asr_queue.domain.batches import Priority
from asr_queue.domain.lanes import LaneTurns
from asr_queue.errors import RetryableError
from asr_queue.ports import Backlog, Delivery, WorkQueue
from asr_queue.wire.messages import ItemMessage

_LOOK_EVERY_S: Final = 1
"""While all lanes are empty: how long one of them is waited at before the others are looked at again (SQS waits for
whole seconds)."""


class LaneQueue:
    """WorkQueue over a queue a priority; safe to use from several threads.

    While several lanes have messages, their turns come by weight (`asr_queue.domain.lanes`). A receive that the lane
    whose turn it is cannot fill is filled from the next ones. A receipt handle says which lane it is of.
    """

    def __init__(self, lanes: Mapping[Priority, WorkQueue]) -> None:
        """Take the lanes; a priority that has none goes with `normal`, which has one."""
        self._lanes = dict(lanes)
        self._group = QueueGroup(self._lanes)
        self._lane_of = {priority: priority if priority in lanes else Priority.NORMAL for priority in Priority}
        self._turns = LaneTurns(lanes)
        self._waited_at = cycle(lanes)
        self._lock = threading.Lock()

    def send(
        self, messages: Sequence[ItemMessage], *, tenant: str, priority: Priority = Priority.NORMAL
    ) -> list[ItemMessage]:
        """Send messages to the lane of their priority; return those that were refused."""
        return self._lanes[self._lane_of[priority]].send(messages, tenant=tenant, priority=priority)

    def receive(self, *, max_messages: int, wait_s: int) -> list[Delivery]:
        """Receive up to `max_messages`; what comes to any lane is seen within a second, by this call or the next."""
        end_s = time.monotonic() + wait_s
        deliveries = self._look(max_messages)
        while not deliveries and (left_s := end_s - time.monotonic()) > 0:
            deliveries = self._look(max_messages, wait_s=min(_LOOK_EVERY_S, max(1, round(left_s))))
        return deliveries

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now; return the handles that failed."""
        return self._group.extend(receipt_handles, visibility_s=visibility_s)

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed."""
        return self._group.delete(receipt_handles)

    def backlog(self) -> Backlog:
        """Count what waits and what is out, in all lanes together."""
        backlogs = self.backlogs().values()
        return Backlog(visible=sum(one.visible for one in backlogs), in_flight=sum(one.in_flight for one in backlogs))

    def backlogs(self) -> dict[Priority, Backlog]:
        """Count what waits and what is out, lane by lane."""
        return {lane: queue.backlog() for lane, queue in self._lanes.items()}

    def _look(self, max_messages: int, *, wait_s: int = 0) -> list[Delivery]:
        """Ask the lanes in the order of their turns; where `wait_s` is given, wait that long at one of them.

        The one that is waited at comes last, and is another one each time: a look without waiting asks a sample of
        SQS's servers, and can miss what waits.
        """
        with self._lock:
            order = self._turns.order()
            if wait_s:
                waited_at = next(self._waited_at)
                order = [lane for lane in order if lane is not waited_at] + [waited_at]
        deliveries: list[Delivery] = []
        failures: list[RetryableError] = []
        for lane in order:
            try:
                got = self._group.receive(
                    lane,
                    max_messages=max_messages - len(deliveries),
                    wait_s=wait_s if lane is order[-1] and not deliveries else 0,
                )
            except RetryableError as error:
                failures.append(error)
                continue
            if got and not deliveries and not wait_s:
                with self._lock:
                    self._turns.take(lane)
            deliveries += got
            if len(deliveries) >= max_messages:
                break
        if failures and not deliveries:
            raise failures[0]
        return deliveries
