import threading

import pytest

from asr_queue.domain.items import Operation
from gpu_worker.pipeline import batch as batch_module
from gpu_worker.pipeline.batch import MicroBatcher
from gpu_worker.work import Prepared
from tests.pipeline.makers import chunks_of, claimed


def prepared(name: str, *durations_s: float) -> Prepared:
    work = claimed(name)
    return Prepared(claimed=work, chunks=chunks_of(work, *durations_s))


def taken(batcher: MicroBatcher) -> list[str]:
    return [chunk.claimed.item.item_id for chunk in batcher.take()]


@pytest.fixture
def batcher() -> MicroBatcher:
    return MicroBatcher(most={Operation.TRANSCRIBE: 4}, choose=lambda at_hand: next(iter(at_hand)))


@pytest.fixture
def no_linger_ends(monkeypatch):
    """Whoever lingers now is caught by pytest's time limit, however slow the machine is."""
    monkeypatch.setattr(batch_module, "_LINGER_S", 3600.0)


@pytest.mark.usefixtures("no_linger_ends")
def test_a_full_micro_batch_goes_at_once_though_more_is_coming(batcher):
    batcher.expect("later", Operation.TRANSCRIBE)
    for name in "abcde":
        batcher.put(prepared(name, 3.0))
    assert sorted(taken(batcher)) == ["a", "b", "c", "d"]


@pytest.mark.usefixtures("no_linger_ends")
def test_a_lone_chunk_goes_at_once_where_nothing_else_is_coming(batcher):
    batcher.put(prepared("a", 3.0))
    assert taken(batcher) == ["a"]


def test_company_that_is_being_prepared_is_not_waited_for_for_ever(batcher):
    batcher.expect("handle-b", Operation.TRANSCRIBE)
    batcher.put(prepared("a", 3.0))
    assert taken(batcher) == ["a"]


@pytest.mark.usefixtures("no_linger_ends")
def test_company_that_is_being_prepared_rides_along(batcher):
    batcher.expect("handle-b", Operation.TRANSCRIBE)
    batcher.put(prepared("a", 3.0))
    threading.Timer(0.1, lambda: batcher.put(prepared("b", 3.0))).start()
    assert sorted(taken(batcher)) == ["a", "b"]


@pytest.mark.usefixtures("no_linger_ends")
def test_company_that_failed_is_not_waited_for(batcher):
    batcher.expect("handle-b", Operation.TRANSCRIBE)
    batcher.withdraw("handle-b")
    batcher.put(prepared("a", 3.0))
    assert taken(batcher) == ["a"]


def test_closing_returns_what_is_announced_or_waiting_and_ends_the_taking(batcher):
    batcher.put(prepared("long", *[30.0] * 6))
    assert len(taken(batcher)) == 4
    batcher.expect("handle-b", Operation.TRANSCRIBE)
    assert sorted(batcher.close()) == ["handle-b", "handle-long"]
    assert batcher.take() is None
    assert not batcher.expect("handle-c", Operation.TRANSCRIBE)
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
    waiting.join(60)
    assert not waiting.is_alive()
