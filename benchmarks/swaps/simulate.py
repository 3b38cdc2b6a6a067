"""A worker whose device holds one of two models, in simulated time: receives in tens, passes of up to sixteen.

What it knows of its queues it knows by `gpu_worker.demand`, and whose turn it is a policy says: `gpu_worker.scheduler`,
or another one. The lanes of an operation take turns as they do in the worker. Receives and looks take no time; the
queue that is not received from is looked at every second.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.domain.lanes import LaneTurns
from asr_queue.ports import Backlog, Delivery
from benchmarks.swaps.traffic import MICRO_BATCH, Sent
from gpu_worker.demand import Demands
from gpu_worker.pipeline.dispatch import Choose
from gpu_worker.scheduler import Costs, Demand

_RECEIVED_AT_ONCE = 10
_LOOK_EVERY_S = 1.0
_START = datetime(2026, 1, 1, tzinfo=UTC)


def oldest_first(
    demands: Mapping[Operation, Demand],
    costs: Mapping[Operation, Costs],
    *,
    current: Operation | None,
    stayed_s: float = 0.0,
) -> Operation | None:
    """Serve first who came first, whatever that costs: the policy to compare with."""
    del costs, current, stayed_s
    waiting = {operation: demand.slack_s for operation, demand in demands.items() if demand.waiting}
    return min(waiting, key=lambda one: waiting[one], default=None)


@dataclass(slots=True)
class Run:
    """What a worker made of its traffic."""

    makespan_s: float = 0.0
    swaps: int = 0
    waits_s: dict[Operation, list[float]] = field(default_factory=lambda: {one: [] for one in Operation})
    """From the sending to the begin of the pass, of each item."""
    late: int = 0
    """Items that waited past the bound of their priority."""


class Simulation:
    """One run: make it, `run` it once."""

    def __init__(
        self, sent: Sequence[Sent], *, choose: Choose, pass_s: Mapping[Operation, float], swap_s: float, bound_s: float
    ) -> None:
        """Take the traffic and what things cost; the first operation's model is on the device."""
        self._choose, self._pass_s, self._swap_s = choose, pass_s, swap_s
        self._now_s = 0.0
        self._coming = deque(sent)
        self._queues: dict[Operation, dict[Priority, deque[Sent]]] = {
            one: {lane: deque() for lane in Priority} for one in Operation
        }
        self._turns = {one: LaneTurns(Priority) for one in Operation}
        self._at_hand: dict[Operation, deque[Sent]] = {one: deque() for one in Operation}
        self._demands = Demands(Operation, bound_s=bound_s, seconds=lambda: self._now_s)
        self._looked_s = -_LOOK_EVERY_S
        self._here = next(iter(Operation))
        self._polled: Operation | None = None
        self._since_s = 0.0
        self._run = Run()

    def run(self) -> Run:
        """Work until everything is done."""
        self._advance(0.0)
        while (
            self._coming or any(any(lanes.values()) for lanes in self._queues.values()) or any(self._at_hand.values())
        ):
            demands = {one: self._demand(one, known) for one, known in self._demands.now().items()}
            costs = {
                one: Costs(swap_s=0.0 if one is self._here else self._swap_s, pass_s=self._pass_s[one])
                for one in Operation
            }
            stayed_s = self._now_s - self._since_s
            chosen = self._choose(demands, costs, current=self._here, stayed_s=stayed_s)
            if chosen is None:
                self._poll_idly()
            else:
                self._serve(chosen)
        self._run.makespan_s = self._now_s
        return self._run

    def _demand(self, operation: Operation, in_queue: Demand) -> Demand:
        at_hand = self._at_hand[operation]
        slack_s = min((self._slack_s(sent) for sent in at_hand), default=math.inf)
        return Demand(waiting=in_queue.waiting + len(at_hand), slack_s=min(in_queue.slack_s, slack_s))

    def _slack_s(self, sent: Sent) -> float:
        return self._demands.bound_s(sent.priority) - (self._now_s - sent.at_s)

    def _serve(self, operation: Operation) -> None:
        self._polled = operation
        at_hand = self._at_hand[operation]
        while len(at_hand) < MICRO_BATCH and self._receive(operation) == _RECEIVED_AT_ONCE:
            pass
        if not at_hand:
            return
        if operation is not self._here:
            self._run.swaps += 1
            self._advance(self._now_s + self._swap_s)
            self._here, self._since_s = operation, self._now_s
            # More may have come meanwhile.
            while len(at_hand) < MICRO_BATCH and self._receive(operation) == _RECEIVED_AT_ONCE:
                pass
        for _ in range(min(MICRO_BATCH, len(at_hand))):
            sent = at_hand.popleft()
            self._run.waits_s[operation].append(self._now_s - sent.at_s)
            self._run.late += self._slack_s(sent) < 0
        self._advance(self._now_s + self._pass_s[operation])

    def _poll_idly(self) -> None:
        """Wait at one queue until something comes there, or for a second; then it is the other one's turn."""
        polled = self._here if self._polled is None else self._polled
        if self._receive(polled):
            return
        until_s = self._now_s + _LOOK_EVERY_S
        first = next((one.at_s for one in self._coming if one.operation is polled and one.at_s < until_s), until_s)
        self._advance(first)
        if not self._receive(polled):
            self._polled = next(one for one in Operation if one is not polled)
            self._receive(self._polled)

    def _receive(self, operation: Operation) -> int:
        lanes, turns = self._queues[operation], self._turns[operation]
        got: list[Sent] = []
        for lane in turns.order():
            if lanes[lane] and not got:
                turns.take(lane)
            got += [lanes[lane].popleft() for _ in range(min(_RECEIVED_AT_ONCE - len(got), len(lanes[lane])))]
        self._at_hand[operation] += got
        deliveries = [
            Delivery(body="", receipt_handle=f"{one.priority}:", receive_count=1, sent_at=_instant(one.at_s))
            for one in got
        ]
        self._demands.received(operation, deliveries, wanted=_RECEIVED_AT_ONCE, now=_instant(self._now_s))
        return len(got)

    def _advance(self, to_s: float) -> None:
        while (look_s := self._looked_s + _LOOK_EVERY_S) <= to_s:
            self._now_s = self._looked_s = look_s
            self._arrive()
            for operation, lanes in self._queues.items():
                if operation is not self._polled:
                    counts = {lane: Backlog(visible=len(queue), in_flight=0) for lane, queue in lanes.items()}
                    self._demands.looked(operation, counts)
        self._now_s = to_s
        self._arrive()

    def _arrive(self) -> None:
        while self._coming and self._coming[0].at_s <= self._now_s:
            one = self._coming.popleft()
            self._queues[one.operation][one.priority].append(one)


def _instant(at_s: float) -> datetime:
    return _START + timedelta(seconds=at_s)
