import logging
import threading

import pytest

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.errors import RetryableError
from gpu_worker.leases import Leases


class AwayQueue(MemoryQueue):
    is_away = False

    def extend(self, receipt_handles, *, visibility_s):
        if self.is_away:
            raise RetryableError("service_unavailable", "The service is away.")
        return super().extend(receipt_handles, visibility_s=visibility_s)

    def delete(self, receipt_handles):
        if self.is_away:
            raise RetryableError("service_unavailable", "The service is away.")
        return super().delete(receipt_handles)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(clock):
    queue = AwayQueue(clock, visibility_timeout_s=30)
    queue.send_bodies([str(number) for number in range(25)])
    return queue


@pytest.fixture
def leases(queue):
    leases = Leases(queue, visibility_timeout_s=30)
    for _ in range(3):
        for delivery in queue.receive(max_messages=10, wait_s=0):
            leases.hold(delivery.receipt_handle, item_id=f"item-{delivery.body}")
    return leases


def test_renewed_leases_stay_hidden_however_many_there_are(clock, queue, leases):
    for _ in range(5):
        clock.advance(29)
        leases.renew()
    assert queue.receive(max_messages=10, wait_s=0) == []


def test_what_is_acknowledged_is_gone_and_what_is_given_back_comes_again_in_time(clock, queue, leases):
    handles = leases.held()
    leases.acknowledge(handles[:20])
    leases.give_back(handles[20:22], visibility_s=0)
    leases.give_back(handles[22:24], visibility_s=40)
    assert [each.body for each in queue.receive(max_messages=10, wait_s=0)] == ["20", "21"]
    clock.advance(20)
    leases.renew()
    clock.advance(21)
    assert [each.body for each in queue.receive(max_messages=10, wait_s=0)] == ["20", "21", "22", "23"]
    assert leases.held() == [handles[24]]


def test_what_was_given_back_once_is_not_hidden_again(queue, leases):
    handle = leases.held()[0]
    leases.give_back([handle], visibility_s=0)
    leases.give_back([handle], visibility_s=40)
    assert queue.receive(max_messages=10, wait_s=0)[0].body == "0"


def test_a_lost_lease_is_told_once_by_its_item_and_never_by_its_handle(clock, queue, leases, caplog):
    handle = leases.held()[3]
    queue.delete([handle])
    with caplog.at_level(logging.WARNING):
        leases.renew()
        leases.renew()
    assert [(record.getMessage(), record.item_id) for record in caplog.records] == [("lease_lost", "item-3")]
    assert handle not in str([vars(record) for record in caplog.records])
    assert leases.holds(handle)


def test_a_heartbeat_that_fails_is_made_up_for_by_the_next(clock, queue, leases):
    queue.is_away = True
    clock.advance(10)
    leases.renew()
    queue.is_away = False
    clock.advance(10)
    leases.renew()
    clock.advance(29)
    assert queue.receive(max_messages=10, wait_s=0) == []


def test_acknowledging_and_giving_back_never_fail(clock, queue, leases):
    queue.is_away = True
    leases.acknowledge(leases.held()[:2])
    leases.give_back(leases.held(), visibility_s=0)
    assert leases.held() == []
    clock.advance(31)
    queue.is_away = False
    assert len(queue.receive(max_messages=10, wait_s=0)) == 10


def test_room_is_waited_for_until_something_is_let_go(leases):
    assert not leases.wait_for_room(10, most=34, timeout_s=0)
    threading.Timer(0.05, lambda: leases.acknowledge(leases.held()[:1])).start()
    assert leases.wait_for_room(10, most=34, timeout_s=5)
