"""Lanes as one queue: who is served while several have messages, and what a lane that fails costs the others."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.adapters.lanes import LaneQueue
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.domain.batches import Priority
from asr_queue.errors import RetryableError
from asr_queue.ports import Backlog, Delivery
from asr_queue.wire.messages import ItemMessage

HIGH, NORMAL, LOW = Priority


def messages(priority: Priority, count: int) -> list[ItemMessage]:
    return [ItemMessage(batch_id=priority, index=index, item_id=f"{priority}-{index}") for index in range(count)]


def priorities(deliveries: Sequence[Delivery]) -> Counter[str]:
    return Counter(ItemMessage.parse(delivery.body).batch_id for delivery in deliveries)


def laned(waiting: Mapping[Priority, int]) -> LaneQueue:
    clock = ManualClock()
    queue = LaneQueue({priority: MemoryQueue(clock) for priority in Priority})
    for priority, count in waiting.items():
        queue.send(messages(priority, count), tenant="acme", priority=priority)
    return queue


def test_a_thousand_low_ones_do_not_delay_ten_high_ones() -> None:
    queue = laned({LOW: 1000})
    queue.receive(max_messages=10, wait_s=0)
    queue.send(messages(HIGH, 10), tenant="acme", priority=HIGH)
    assert priorities(queue.receive(max_messages=10, wait_s=0)) == {HIGH: 10}


def test_while_all_lanes_are_deep_thirteen_receives_bring_eight_to_four_to_one() -> None:
    queue = laned(dict.fromkeys(Priority, 200))
    received = [delivery for _ in range(13) for delivery in queue.receive(max_messages=10, wait_s=0)]
    assert priorities(received) == {HIGH: 80, NORMAL: 40, LOW: 10}


def test_a_flood_of_high_ones_does_not_starve_a_low_one() -> None:
    queue = laned({HIGH: 1000, NORMAL: 1000, LOW: 1})
    receives = [priorities(queue.receive(max_messages=10, wait_s=0)) for _ in range(15)]
    assert any(LOW in received for received in receives)


def test_a_lane_alone_has_every_receive_full() -> None:
    for priority in Priority:
        queue = laned({priority: 50})
        assert all(len(queue.receive(max_messages=10, wait_s=0)) == 10 for _ in range(5))


def test_a_priority_without_a_lane_goes_with_normal() -> None:
    queue = LaneQueue({NORMAL: MemoryQueue(ManualClock())})
    queue.send(messages(HIGH, 2), tenant="acme", priority=HIGH)
    assert queue.backlogs() == {NORMAL: Backlog(visible=2, in_flight=0)}
    [one, other] = queue.receive(max_messages=10, wait_s=0)
    assert queue.delete([one.receipt_handle, other.receipt_handle]) == []


def test_a_handle_of_no_lane_fails_and_costs_the_others_nothing() -> None:
    queue = laned({LOW: 1})
    [delivery] = queue.receive(max_messages=10, wait_s=0)
    assert queue.delete(["none:x", "nonsense", delivery.receipt_handle]) == ["none:x", "nonsense"]
    assert queue.backlog() == Backlog(visible=0, in_flight=0)


class TestALaneThatFails:
    def broken(self, away: set[Priority]) -> LaneQueue:
        clock = ManualClock()
        self.failing = away
        lanes = {priority: MemoryQueue(clock) for priority in Priority}
        for priority, lane in lanes.items():
            lane.send(messages(priority, 3), tenant="acme")
        return LaneQueue(
            {
                priority: Faulty(lane, lambda _, of=priority: Fault.BEFORE if of in self.failing else Fault.NONE)
                for priority, lane in lanes.items()
            }
        )

    def test_leaves_the_others_their_messages(self) -> None:
        queue = self.broken({HIGH})
        assert priorities(queue.receive(max_messages=10, wait_s=0)) == {NORMAL: 3, LOW: 3}

    def test_is_told_where_no_other_has_any(self) -> None:
        queue = self.broken({HIGH})
        queue.receive(max_messages=10, wait_s=0)
        with pytest.raises(RetryableError):
            queue.receive(max_messages=10, wait_s=0)

    def test_fails_for_its_own_handles_alone(self) -> None:
        queue = self.broken(set())
        handles = [delivery.receipt_handle for delivery in queue.receive(max_messages=10, wait_s=0)]
        self.failing = {LOW}
        refused = queue.delete(handles)
        assert len(refused) == 3
        assert set(refused) <= set(handles)
        with pytest.raises(RetryableError):
            queue.delete(refused)
        self.failing = set()
        assert queue.delete(refused) == []
