"""What WorkerRegistry promises."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.items import Operation
from asr_queue.domain.workers import ALIVE_S, WorkerReport
from asr_queue.ports import WorkerRegistry


def a_report(clock: ManualClock, **fields: object) -> WorkerReport:
    known = {
        "worker_id": str(uuid4()),
        "engine": "whisper",
        "started_at": clock.now() - timedelta(hours=1),
        "seen_at": clock.now(),
        "held_items": 12,
        "micro_batch_max": 16,
        "micro_batch_fill": 0.75,
        "audio_s_per_s": 12.345,
        "busy": 0.987,
        "items_done": 1234,
        "audio_s_done": 98765.4,
        "resident": frozenset({Operation.VOICE_CLONE}),
        "swaps": 17,
        "mean_swap_s": 0.125,
        "device_bytes": 38_654_705_664,
    }
    return WorkerReport(**{**known, **fields})


def test_a_report_comes_back_as_it_was_made(registry: WorkerRegistry, clock: ManualClock) -> None:
    nothing: dict[str, object] = {"resident": frozenset(), "swaps": 0, "mean_swap_s": None, "device_bytes": None}
    told = [a_report(clock), a_report(clock, micro_batch_fill=None, audio_s_per_s=None, busy=0.0, **nothing)]
    for report in told:
        registry.report(report)
    assert sorted(registry.workers(now=clock.now()), key=told.index) == told


def test_the_last_report_of_a_worker_is_the_one_that_stands(registry: WorkerRegistry, clock: ManualClock) -> None:
    report = a_report(clock)
    registry.report(report)
    clock.advance(5)
    newer = replace(report, seen_at=clock.now(), items_done=report.items_done + 1)
    registry.report(newer)
    assert registry.workers(now=clock.now()) == [newer]


def test_a_worker_that_says_no_more_is_gone_after_three_beats(registry: WorkerRegistry, clock: ManualClock) -> None:
    registry.report(a_report(clock))
    clock.advance(ALIVE_S - 0.001)
    assert len(registry.workers(now=clock.now())) == 1
    clock.advance(0.001)
    assert registry.workers(now=clock.now()) == []


def test_a_worker_that_leaves_is_gone_at_once_and_may_come_back(registry: WorkerRegistry, clock: ManualClock) -> None:
    report = a_report(clock)
    registry.report(report)
    registry.leave(report.worker_id)
    registry.leave(str(uuid4()))
    assert registry.workers(now=clock.now()) == []
    registry.report(report)
    assert registry.workers(now=clock.now()) == [report]


def test_workers_come_by_their_start(registry: WorkerRegistry, clock: ManualClock) -> None:
    told = [a_report(clock, started_at=clock.now() - timedelta(seconds=age_s)) for age_s in (30, 90, 60)]
    for report in told:
        registry.report(report)
    assert registry.workers(now=clock.now()) == [told[1], told[2], told[0]]
