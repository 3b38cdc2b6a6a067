"""Whose turn it is: what waits in the queues counts as well as what is at hand."""

from datetime import timedelta

import pytest

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.errors import RetryableError
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.echo import EchoEngine
from gpu_worker.engines.echo_voice import EchoVoiceEngine
from gpu_worker.model_host import ModelHost
from gpu_worker.pipeline.batch import AtHand
from gpu_worker.pipeline.dispatch import Dispatch

ASR, TTS = Operation.TRANSCRIBE, Operation.VOICE_CLONE
BOUND_S = 60


class Seconds:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def queues() -> dict[Operation, MemoryQueue]:
    clock = ManualClock()
    return {operation: MemoryQueue(clock) for operation in Operation}


@pytest.fixture
def dispatch(queues, seconds) -> Dispatch:
    settings = EngineSettings(cache_dir=None)
    host = ModelHost({ASR: EchoEngine(settings), TTS: EchoVoiceEngine(settings)}, seconds=seconds)
    # The other one was never loaded: its swap is guessed to take 3 s.
    host.admit(ASR)
    made = Dispatch(queues, host, clock=ManualClock(), bound_s=BOUND_S, seconds=seconds)
    for operation in (TTS, ASR):
        made.pass_begins(operation)
        made.pass_ended(operation, pass_s=1.0)
    return made


def at_hand(ready: int = 16, *, waited_s: float = 45, priority: Priority = Priority.NORMAL) -> AtHand:
    sent_at = ManualClock().now() - timedelta(seconds=waited_s)
    return AtHand(expected=0, ready=ready, oldest_sent_at={priority: sent_at})


def test_a_burst_in_the_queue_presses_for_the_whole_of_it(dispatch, queues):
    mine = {ASR: at_hand(), TTS: at_hand()}
    assert dispatch.next_pass(mine) is ASR
    queues[TTS].send_bodies(["{}"] * 160)
    dispatch.next_queue()
    # 15 s are left: too few for a swap of 3 s, eleven passes, and two of the model that is there.
    assert dispatch.next_pass(mine) is TTS


def test_a_family_that_alone_has_chunks_ready_goes_whatever_waits_elsewhere(dispatch, queues):
    queues[TTS].send_bodies(["{}"] * 160)
    dispatch.next_queue()
    assert dispatch.next_pass({ASR: at_hand()}) is ASR


@pytest.mark.parametrize(
    ("priority", "pressing_s"), [(Priority.HIGH, 25), (Priority.NORMAL, 55), (Priority.LOW, 235)], ids=str
)
def test_what_is_at_hand_keeps_the_bound_of_its_priority(dispatch, priority, pressing_s):
    # A swap of 3 s, a pass of what waits, and two of the model that is there: 6 s before the bound.
    for waited_s, chosen in ((pressing_s - 2, ASR), (pressing_s, TTS)):
        mine = {ASR: at_hand(waited_s=1), TTS: at_hand(waited_s=waited_s, priority=priority)}
        assert dispatch.next_pass(mine) is chosen


def test_where_nothing_waits_the_queues_are_polled_in_turn(dispatch):
    assert {dispatch.next_queue(), dispatch.next_queue()} == {ASR, TTS}


def test_a_family_is_fetched_for_from_the_moment_its_first_pass_begins(dispatch):
    assert dispatch.is_current(ASR)
    dispatch.pass_begins(TTS)
    assert dispatch.is_current(TTS)
    assert not dispatch.is_current(ASR)


def test_a_queue_that_cannot_be_looked_at_keeps_nobody_from_the_others(dispatch, queues, monkeypatch):
    def away():
        raise RetryableError("service_unavailable", "It is away.")

    monkeypatch.setattr(queues[TTS], "backlogs", away)
    queues[ASR].send_bodies(["{}"] * 10)
    assert dispatch.next_queue() is ASR
