"""What a worker believes of its queues: never that something has waited for less than it has."""

from collections import deque
from datetime import UTC, datetime, timedelta
from math import inf, isclose

from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.domain.lanes import LaneTurns
from asr_queue.ports import Backlog, Delivery
from gpu_worker.demand import Demands

ASR, TTS = Operation.TRANSCRIBE, Operation.VOICE_CLONE
BOUND_S = 60
START = datetime(2026, 1, 1, tzinfo=UTC)


class Queues:
    """Lanes of one operation, in a time of their own; messages come in their order."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.demands = Demands([ASR, TTS], bound_s=BOUND_S, seconds=lambda: self.now_s)
        self.known_s = self.now_s
        """When all of the lanes were counted last."""
        self._lanes: dict[Priority, deque[float]] = {lane: deque() for lane in Priority}
        self._turns = LaneTurns(Priority)

    def send(self, priority: Priority = Priority.NORMAL, messages: int = 1) -> None:
        self._lanes[priority] += [self.now_s] * messages

    def look(self) -> None:
        counts = {lane: Backlog(visible=len(sent), in_flight=0) for lane, sent in self._lanes.items()}
        self.demands.looked(ASR, counts)
        self.known_s = self.now_s

    def receive(self, wanted: int = 10) -> None:
        deliveries: list[Delivery] = []
        for lane in self._turns.order():
            if self._lanes[lane] and not deliveries:
                self._turns.take(lane)
            while self._lanes[lane] and len(deliveries) < wanted:
                handle, sent_at = f"{ASR}:{lane}:handle", self._instant(self._lanes[lane].popleft())
                deliveries.append(Delivery(body="", receipt_handle=handle, receive_count=1, sent_at=sent_at))
        self.demands.received(ASR, deliveries, wanted=wanted, now=self._instant(self.now_s))
        if len(deliveries) < wanted:
            self.known_s = self.now_s

    def slack_s(self) -> float:
        """Return how long the first message has until its bound, in truth; of those that came before the last count."""
        counted = [(lane, at_s) for lane, sent in self._lanes.items() for at_s in sent if at_s <= self.known_s]
        return min((self.demands.bound_s(lane) - (self.now_s - at_s) for lane, at_s in counted), default=inf)

    def waiting(self) -> int:
        return sum(map(len, self._lanes.values()))

    def _instant(self, second_s: float) -> datetime:
        return START + timedelta(seconds=second_s)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 100)),
        st.tuples(st.just("send"), st.sampled_from(Priority), st.integers(1, 30)),
        st.tuples(st.just("look")),
        st.tuples(st.just("receive"), st.integers(1, 10)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_first_of_what_waits_is_believed_to_have_no_more_time_than_it_has(steps: list[tuple]) -> None:
    queues = Queues()
    for name, *rest in steps:
        if name == "pass":
            queues.now_s += rest[0]
            continue
        # So that what comes after a look is not of its instant.
        queues.now_s += 0.001
        getattr(queues, name)(*rest)
        believed = queues.demands.now()[ASR]
        assert believed.slack_s <= queues.slack_s() + 1e-3
        if name == "look":
            assert believed.waiting == queues.waiting()


def test_what_came_between_two_looks_counts_from_the_first() -> None:
    queues = Queues()
    queues.look()
    queues.now_s += 5
    queues.send()
    queues.now_s += 1
    queues.look()
    assert queues.demands.now()[ASR].slack_s == BOUND_S - 6


def test_under_constant_traffic_the_belief_follows_what_is_received() -> None:
    queues = Queues()
    queues.send(messages=20)
    queues.look()
    for _ in range(100):
        queues.now_s += 10
        queues.send(messages=10)
        queues.receive()
    # Twenty of them wait, of the last two sendings; the last receive brought some of the one before.
    assert isclose(queues.demands.now()[ASR].slack_s, BOUND_S - 20, abs_tol=1e-3)


def test_each_priority_has_a_bound_of_its_own() -> None:
    queues = Queues()
    for priority, bound_s in ((Priority.LOW, 240), (Priority.NORMAL, 60), (Priority.HIGH, 30)):
        assert queues.demands.bound_s(priority) == bound_s
        queues.send(priority)
        queues.look()
        assert queues.demands.now()[ASR].slack_s == bound_s


def test_a_receive_that_is_not_filled_leaves_nothing() -> None:
    queues = Queues()
    queues.send(messages=3)
    queues.look()
    queues.receive()
    assert queues.demands.now()[ASR].waiting == 0
    assert queues.demands.now()[ASR].slack_s == inf
    assert queues.demands.now()[TTS].waiting == 0
