import threading
import time

import pytest

from gpu_worker.pipeline.batch import MicroBatcher
from gpu_worker.work import Prepared
from tests.pipeline.makers import chunks_of, claimed


def prepared(name: str, *durations_s: float) -> Prepared:
    work = claimed(name)
    return Prepared(claimed=work, audio_s=sum(durations_s), chunks=chunks_of(work, *durations_s))


def taken(batcher: MicroBatcher) -> tuple[list[str], float]:
    started_s = time.monotonic()
    micro_batch = batcher.take()
    return [chunk.claimed.item.item_id for chunk in micro_batch], time.monotonic() - started_s


@pytest.fixture
def batcher() -> MicroBatcher:
    return MicroBatcher(most=4)


def test_a_full_micro_batch_goes_at_once_though_more_is_coming(batcher):
    batcher.expect("later")
    for name in "abcde":
        batcher.put(prepared(name, 3.0))
    names, waited_s = taken(batcher)
    assert sorted(names) == ["a", "b", "c", "d"]
    assert waited_s < 0.04


def test_a_lone_chunk_goes_at_once_where_nothing_else_is_coming(batcher):
    batcher.put(prepared("a", 3.0))
    names, waited_s = taken(batcher)
    assert names == ["a"]
    assert waited_s < 0.04


def test_company_that_is_being_prepared_is_waited_for_but_not_for_long(batcher):
    batcher.expect("handle-b")
    batcher.put(prepared("a", 3.0))
    names, waited_s = taken(batcher)
    assert names == ["a"]
    assert 0.04 < waited_s < 1.0


def test_company_that_arrives_in_time_rides_along(batcher):
    batcher.expect("handle-b")
    batcher.put(prepared("a", 3.0))
    threading.Timer(0.01, lambda: batcher.put(prepared("b", 3.0))).start()
    names, _ = taken(batcher)
    assert sorted(names) == ["a", "b"]


def test_company_that_failed_is_not_waited_for(batcher):
    batcher.expect("handle-b")
    batcher.withdraw("handle-b")
    batcher.put(prepared("a", 3.0))
    assert taken(batcher)[1] < 0.04


def test_closing_returns_what_is_announced_or_waiting_and_ends_the_taking(batcher):
    batcher.put(prepared("long", *[30.0] * 6))
    assert len(taken(batcher)[0]) == 4
    batcher.expect("handle-b")
    assert sorted(batcher.close()) == ["handle-b", "handle-long"]
    assert batcher.take() is None
    assert not batcher.expect("handle-c")
    batcher.put(prepared("b", 3.0))
    assert batcher.take() is None
    assert batcher.close() == []


def test_whoever_waits_to_take_wakes_when_the_line_closes(batcher):
    threading.Timer(0.05, batcher.close).start()
    assert batcher.take() is None


def test_preparing_waits_while_half_an_hour_of_audio_waits_beyond_the_longest_item(batcher):
    batcher.put(prepared("longest", *[30.0] * 720))
    batcher.wait_for_room()
    batcher.put(prepared("a", *[30.0] * 60))
    waiting = threading.Thread(target=batcher.wait_for_room)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    batcher.withdraw("handle-a")
    waiting.join(5)
    assert not waiting.is_alive()
