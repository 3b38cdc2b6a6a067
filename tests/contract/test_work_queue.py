"""What WorkQueue promises."""

import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from asr_queue.domain.batches import Priority
from asr_queue.ports import Backlog, Delivery, WorkQueue
from asr_queue.wire.messages import ItemMessage
from tests.contract.conftest import VISIBILITY_TIMEOUT_S

PATIENCE_S = VISIBILITY_TIMEOUT_S + 10


@pytest.fixture(params=["fake", "lanes of fakes", "emulator", "moto"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def messages(count: int) -> list[ItemMessage]:
    batch_id = str(uuid4())
    return [ItemMessage(batch_id=batch_id, index=index, item_id=str(uuid4())) for index in range(count)]


def receive_all(queue: WorkQueue, count: int) -> list[Delivery]:
    deliveries: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(deliveries) < count and time.monotonic() < deadline:
        deliveries += queue.receive(max_messages=10, wait_s=0)
    return deliveries


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_every_message_that_was_sent_is_received(queue: WorkQueue) -> None:
    sent = messages(25)
    assert queue.send(sent, tenant="acme") == []
    received = [ItemMessage.parse(delivery.body) for delivery in receive_all(queue, 25)]
    assert sorted(message.index for message in received) == list(range(25))
    assert set(received) == set(sent)


def test_sending_nothing_does_nothing(queue: WorkQueue) -> None:
    assert queue.send([], tenant="acme") == []
    assert queue.receive(max_messages=1, wait_s=0) == []


def test_a_receive_gives_no_more_than_it_was_asked_for(queue: WorkQueue) -> None:
    queue.send(messages(12), tenant="acme")
    assert len(queue.receive(max_messages=6, wait_s=1)) <= 6
    assert len(queue.receive(max_messages=10, wait_s=1)) <= 10


def test_a_received_message_is_hidden_until_its_time_is_over(queue: WorkQueue) -> None:
    queue.send(messages(1), tenant="acme")
    [first] = queue.receive(max_messages=10, wait_s=1)
    assert queue.receive(max_messages=10, wait_s=0) == []
    [second] = queue.receive(max_messages=10, wait_s=PATIENCE_S)
    assert first.receive_count == 1
    assert second.receive_count == 2
    assert second.receipt_handle != first.receipt_handle
    assert second.body == first.body


def test_an_extended_message_stays_hidden(queue: WorkQueue) -> None:
    queue.send(messages(1), tenant="acme")
    [delivery] = queue.receive(max_messages=10, wait_s=1)
    assert queue.extend([delivery.receipt_handle], visibility_s=60) == []
    time.sleep(VISIBILITY_TIMEOUT_S + 0.5)
    assert queue.receive(max_messages=10, wait_s=0) == []
    assert queue.backlog() == Backlog(visible=0, in_flight=1)


def test_a_message_that_is_handed_back_comes_again_at_once(queue: WorkQueue) -> None:
    queue.send(messages(1), tenant="acme")
    [delivery] = queue.receive(max_messages=10, wait_s=1)
    assert queue.extend([delivery.receipt_handle], visibility_s=0) == []
    [again] = queue.receive(max_messages=10, wait_s=1)
    assert again.receive_count == 2


def test_a_deleted_message_never_comes_again(queue: WorkQueue) -> None:
    queue.send(messages(11), tenant="acme")
    handles = [delivery.receipt_handle for delivery in receive_all(queue, 11)]
    assert queue.delete(handles) == []
    time.sleep(VISIBILITY_TIMEOUT_S + 0.5)
    assert queue.receive(max_messages=10, wait_s=0) == []
    assert queue.backlog() == Backlog(visible=0, in_flight=0)


def test_a_handle_that_names_nothing_fails_and_costs_the_others_nothing(queue: WorkQueue) -> None:
    queue.send(messages(1), tenant="acme")
    [delivery] = queue.receive(max_messages=10, wait_s=1)
    queue.delete([delivery.receipt_handle])
    queue.send(messages(1), tenant="acme")
    [other] = queue.receive(max_messages=10, wait_s=1)
    failed = queue.extend([delivery.receipt_handle, other.receipt_handle], visibility_s=30)
    assert failed in ([], [delivery.receipt_handle])
    assert queue.delete([other.receipt_handle]) == []


def test_the_backlog_counts_what_waits_and_what_is_out(queue: WorkQueue) -> None:
    queue.send(messages(3), tenant="acme")
    assert eventually(lambda: queue.backlog() == Backlog(visible=3, in_flight=0))
    queue.receive(max_messages=1, wait_s=1)
    assert eventually(lambda: queue.backlog() == Backlog(visible=2, in_flight=1))


def test_a_tenant_with_one_message_does_not_wait_for_one_with_many(queue: WorkQueue, kind: str) -> None:
    if kind == "moto":
        pytest.skip("moto knows nothing of fair queues")
    queue.send(messages(60), tenant="many")
    in_flight = [*queue.receive(max_messages=10, wait_s=1), *queue.receive(max_messages=10, wait_s=1)]
    [single] = few = messages(1)
    queue.send(few, tenant="few")
    received = [ItemMessage.parse(delivery.body) for delivery in queue.receive(max_messages=10, wait_s=1)]
    assert single in received
    assert len(received) == 10, "the rest goes to who has more waiting"
    assert len(in_flight) == 20


def test_two_tenants_with_much_waiting_share_what_is_delivered(queue: WorkQueue, kind: str) -> None:
    if kind == "moto":
        pytest.skip("moto knows nothing of fair queues")
    first, second = messages(40), messages(40)
    queue.send(first, tenant="first")
    queue.send(second, tenant="second")
    received = {ItemMessage.parse(delivery.body) for delivery in receive_all(queue, 20)}
    assert 8 <= len(received & set(first)) <= 12


class TestPriorities:
    def test_whatever_its_priority_a_message_is_received_hidden_extended_and_deleted(self, queue: WorkQueue) -> None:
        sent = messages(3)
        for message, priority in zip(sent, Priority, strict=True):
            assert queue.send([message], tenant="acme", priority=priority) == []
        deliveries = receive_all(queue, 3)
        assert {ItemMessage.parse(delivery.body) for delivery in deliveries} == set(sent)
        handles = [delivery.receipt_handle for delivery in deliveries]
        assert queue.receive(max_messages=10, wait_s=0) == []
        assert queue.extend(handles, visibility_s=60) == []
        assert queue.delete(handles) == []
        assert eventually(lambda: queue.backlog() == Backlog(visible=0, in_flight=0))

    def test_a_receive_is_filled_from_all_priorities(self, queue: WorkQueue) -> None:
        for priority in Priority:
            queue.send(messages(3), tenant="acme", priority=priority)
        assert eventually(lambda: queue.backlog().visible == 9)
        assert len(queue.receive(max_messages=7, wait_s=0)) == 7
        assert len(queue.receive(max_messages=7, wait_s=0)) == 2

    def test_the_backlogs_of_the_lanes_are_the_backlog(self, queue: WorkQueue) -> None:
        for count, priority in enumerate(Priority, start=1):
            queue.send(messages(count), tenant="acme", priority=priority)
        assert eventually(lambda: queue.backlog() == Backlog(visible=6, in_flight=0))
        backlogs = queue.backlogs()
        assert Priority.NORMAL in backlogs
        assert sum(backlog.visible for backlog in backlogs.values()) == 6
        if len(backlogs) == len(Priority):
            assert [backlogs[priority].visible for priority in Priority] == [1, 2, 3]

    @pytest.mark.parametrize("priority", Priority)
    def test_what_comes_to_any_lane_ends_the_wait(self, queue: WorkQueue, priority: Priority) -> None:
        later = threading.Timer(0.5, lambda: queue.send(messages(1), tenant="acme", priority=priority))
        later.start()
        began_s = time.monotonic()
        assert len(queue.receive(max_messages=10, wait_s=20)) == 1
        assert time.monotonic() - began_s < 10
        later.join()
