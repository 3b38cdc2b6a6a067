"""Whose turn it is: at the queues, and on the device.

Both are asked of one policy (`gpu_worker.scheduler`). At the queues it sees what waits there, so the items of the next
family are fetched while the last chunks of the one before are still being processed; on the device it sees that and
what is at hand together, of the families that have something at hand. A worker with one family asks nobody.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Final, Protocol

from asr_queue.domain.items import Operation
from asr_queue.errors import RetryableError
from asr_queue.ports import Clock, Delivery, WorkQueue
from gpu_worker.demand import Demands
from gpu_worker.model_host import ModelHost
from gpu_worker.pipeline.batch import AtHand
from gpu_worker.scheduler import Costs, Demand, choose

_logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
"""How often the queues that are not being polled are looked at; three calls a family."""
_GUESSED_PASS_S: Final = 1.0
_LATEST_SHARE: Final = 0.3
"""Of the latest pass in the running mean."""


class Choose(Protocol):
    """The policy; see `gpu_worker.scheduler.choose`."""

    def __call__(
        self,
        demands: Mapping[Operation, Demand],
        costs: Mapping[Operation, Costs],
        *,
        current: Operation | None,
        stayed_s: float,
    ) -> Operation | None:
        """Return whose turn it is; None where nothing waits."""


class Dispatch:
    """Decides for one worker; safe to use from several threads."""

    def __init__(
        self,
        queues: Mapping[Operation, WorkQueue],
        host: ModelHost,
        *,
        clock: Clock,
        bound_s: float,
        policy: Choose = choose,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the families' queues and the host of their models.

        Args:
            queues: at least one.
            host: knows what a swap costs.
            clock: tells how long ago a message was sent.
            bound_s: longest that items of normal priority wait for their family's model.
            policy: decides.
            seconds: what passes and looks are timed by.
        """
        self._queues = dict(queues)
        self._host = host
        self._clock = clock
        self._bound_s = bound_s
        self._policy = policy
        self._seconds = seconds
        self._demands = Demands(self._queues, bound_s=bound_s, seconds=seconds)
        self._idle_turns = cycle(self._queues)
        self._lock = threading.Lock()
        self._looked_s = dict.fromkeys(self._queues, -math.inf)
        self._pass_s = dict.fromkeys(self._queues, _GUESSED_PASS_S)
        self._polled: Operation | None = None
        self._current: Operation | None = None
        self._current_since_s = seconds()

    def next_queue(self) -> Operation:
        """Return which queue to receive from: each in turn, where nothing is believed to wait anywhere."""
        if len(self._queues) == 1:
            return next(iter(self._queues))
        self._look()
        demands = self._usable(self._demands.now())
        chosen = self._policy(demands, self._costs(), current=self._current, stayed_s=self._stayed_s())
        self._polled = next(self._idle_turns) if chosen is None else chosen
        return self._polled

    def received(self, operation: Operation, deliveries: Sequence[Delivery], *, wanted: int) -> None:
        """Note what a receive brought."""
        self._demands.received(operation, deliveries, wanted=wanted, now=self._clock.now())

    def next_pass(self, at_hand: Mapping[Operation, AtHand]) -> Operation:
        """Return whose chunks go next."""
        if len(at_hand) == 1:
            return next(iter(at_hand))
        in_queues = self._demands.now()
        demands = self._usable(
            {operation: self._demand_of(mine, in_queues[operation]) for operation, mine in at_hand.items()}
        )
        chosen = self._policy(demands, self._costs(), current=self._current, stayed_s=self._stayed_s())
        return next(iter(at_hand)) if chosen is None else chosen

    def pass_begins(self, operation: Operation) -> None:
        """Note that a pass of this operation comes next; where it is another one than before, after a swap.

        From now on the next ones of its items are fetched, so that they are at hand when this pass ends.
        """
        with self._lock:
            if operation is not self._current:
                self._current = operation
                self._current_since_s = math.inf

    def pass_ended(self, operation: Operation, *, pass_s: float) -> None:
        """Note that the pass has ended, and how long it took, a swap before it aside."""
        with self._lock:
            # The turn began with its first pass: a swap is what it has to earn.
            self._current_since_s = min(self._current_since_s, self._seconds() - pass_s)
            self._pass_s[operation] += _LATEST_SHARE * (pass_s - self._pass_s[operation])

    def is_current(self, operation: Operation) -> bool:
        """Whether the latest pass is of this operation, or there was none."""
        return self._current is None or self._current is operation

    def _look(self) -> None:
        now_s = self._seconds()
        for operation, queue in self._queues.items():
            # What is being polled tells of itself.
            if operation is not self._polled and now_s - self._looked_s[operation] >= _LOOK_EVERY_S:
                self._looked_s[operation] = now_s
                try:
                    self._demands.looked(operation, queue.backlogs())
                except RetryableError as error:
                    # One family's queue that is away must not keep the others from theirs.
                    _logger.warning("look_failed", extra={"operation": operation, "code": error.code})

    def _demand_of(self, at_hand: AtHand, in_queue: Demand) -> Demand:
        """Return what waits of an operation in both places: what is in its queues has to be in time as well."""
        now = self._clock.now()
        slacks_s = [
            self._demands.bound_s(priority) - (now - sent_at).total_seconds()
            for priority, sent_at in at_hand.oldest_sent_at.items()
        ]
        return Demand(
            waiting=at_hand.ready + at_hand.expected + in_queue.waiting,
            # What is still being prepared counts as having come just now.
            slack_s=min(in_queue.slack_s, *(slacks_s or [self._bound_s])),
        )

    def _usable(self, demands: Mapping[Operation, Demand]) -> dict[Operation, Demand]:
        """Return the demands of the families whose models can be had; of all, where none can."""
        usable = self._host.usable()
        return {one: demand for one, demand in demands.items() if one in usable} or dict(demands)

    def _costs(self) -> dict[Operation, Costs]:
        with self._lock:
            return {
                operation: Costs(swap_s=self._host.swap_s(operation), pass_s=pass_s)
                for operation, pass_s in self._pass_s.items()
            }

    def _stayed_s(self) -> float:
        return self._seconds() - self._current_since_s
