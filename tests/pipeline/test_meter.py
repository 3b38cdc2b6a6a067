"""What a worker says of itself, and that saying it never costs it anything."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.domain.items import Operation
from gpu_worker import reporting
from gpu_worker.meter import Meter
from gpu_worker.model_host import HostReport
from tests.pipeline.makers import wav
from tests.pipeline.rig import Rig, until


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now_s=100.0)


@pytest.fixture
def meter(clock: SimpleNamespace) -> Meter:
    return Meter(engine="echo", micro_batch_max=16, clock=ManualClock(), seconds=lambda: clock.now_s)


def run_pass(meter: Meter, clock: SimpleNamespace, *, run_s: float, audio_s: float, chunks: int = 16) -> None:
    meter.pass_began()
    clock.now_s += run_s
    meter.pass_ended(audio_s=audio_s, chunks=chunks)


def test_a_worker_that_has_done_nothing_knows_no_speed(meter: Meter, clock: SimpleNamespace) -> None:
    clock.now_s += 30
    report = meter.report(held_items=0)
    assert (report.audio_s_per_s, report.micro_batch_fill, report.busy) == (None, None, 0.0)
    assert (report.worker_id, report.engine, report.micro_batch_max) == (meter.worker_id, "echo", 16)


def test_speed_is_audio_over_what_the_device_computed_and_busy_is_its_share_of_the_time(
    meter: Meter, clock: SimpleNamespace
) -> None:
    run_pass(meter, clock, run_s=5, audio_s=400)
    clock.now_s += 10
    run_pass(meter, clock, run_s=5, audio_s=100, chunks=4)
    report = meter.report(held_items=3)
    assert report.audio_s_per_s == pytest.approx(50)
    assert report.busy == pytest.approx(0.5)
    assert report.micro_batch_fill == pytest.approx(20 / 32)
    assert report.held_items == 3


def test_what_the_model_host_says_is_a_part_of_the_report(meter: Meter) -> None:
    silent = meter.report(held_items=0)
    assert (silent.resident, silent.swaps, silent.mean_swap_s, silent.device_bytes) == (frozenset(), 0, None, None)
    told = HostReport(
        resident=frozenset(Operation),
        device_bytes={Operation.TRANSCRIBE: 4_000, Operation.VOICE_CLONE: 500},
        loads=2,
        swaps=7,
        last_swap_s=0.5,
        mean_swap_s=0.25,
        failed_loads=0,
    )
    report = meter.report(held_items=0, host=told)
    assert (report.resident, report.swaps, report.mean_swap_s) == (frozenset(Operation), 7, 0.25)
    assert report.device_bytes == 4_500
    assert meter.report(held_items=0, host=replace(told, device_bytes={})).device_bytes is None


def test_a_pass_that_runs_counts_as_busy_before_it_has_ended(meter: Meter, clock: SimpleNamespace) -> None:
    clock.now_s += 10
    meter.pass_began()
    clock.now_s += 30
    assert meter.report(held_items=1).busy == pytest.approx(0.75)
    clock.now_s += 600
    assert meter.report(held_items=1).busy == 1.0


def test_what_was_done_a_minute_ago_tells_how_fast_it_is_and_not_how_busy(meter: Meter, clock: SimpleNamespace) -> None:
    run_pass(meter, clock, run_s=5, audio_s=500)
    clock.now_s += 3600
    report = meter.report(held_items=0)
    assert (report.audio_s_per_s, report.busy, report.micro_batch_fill) == (100.0, 0.0, None)


def test_a_worker_reports_while_it_runs_and_leaves_at_its_end() -> None:
    rig = Rig()
    with rig.worker():
        until(lambda: rig.registry.workers(now=rig.clock.now()))
        rig.finished(rig.submit(wav(2.0), wav(3.0), b"no audio"))
        [report] = rig.registry.workers(now=rig.clock.now())
        assert report.started_at == rig.clock.now()
    assert rig.registry.workers(now=rig.clock.now()) == []


def test_reports_count_items_and_their_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting.keep_reporting, "__kwdefaults__", {"every_s": 0.02})
    rig = Rig()
    with rig.worker():
        rig.finished(rig.submit(wav(2.0), wav(3.0), b"no audio"))
        until(lambda: rig.registry.workers(now=rig.clock.now())[0].items_done == 3)
        until(lambda: rig.registry.workers(now=rig.clock.now())[0].held_items == 0)
        [report] = rig.registry.workers(now=rig.clock.now())
    assert report.audio_s_done == pytest.approx(5.0)
    assert report.audio_s_per_s is not None


@pytest.mark.parametrize("has_bug", [False, True])
def test_reports_that_fail_cost_nothing_and_are_made_again(monkeypatch: pytest.MonkeyPatch, has_bug: bool) -> None:
    monkeypatch.setattr(reporting.keep_reporting, "__kwdefaults__", {"every_s": 0.02})
    rig = Rig()
    rig.registry.reports.is_away, rig.registry.has_bug = not has_bug, has_bug
    with rig.worker():
        [item] = rig.finished(rig.submit(wav(2.0)))
        assert item.error is None
        assert rig.registry.workers(now=rig.clock.now()) == []
        rig.registry.reports.is_away = rig.registry.has_bug = False
        until(lambda: rig.registry.workers(now=rig.clock.now()))


def test_an_end_is_not_waited_for_longer_than_a_report_takes(meter: Meter) -> None:
    rig = Rig()
    told_to_end = threading.Event()
    told_to_end.set()
    reporting.keep_reporting(rig.registry, lambda: meter.report(held_items=0), until=told_to_end, every_s=60.0)
    assert rig.registry.workers(now=rig.clock.now()) == []


def test_what_the_items_of_a_batch_cost_comes_to_what_the_device_spent() -> None:
    rig = Rig()
    rig.engine = type(rig.engine)(pass_s=0.05)
    with rig.worker():
        items = rig.finished(rig.submit(wav(2.0), wav(31.0), wav(4.0), b"no audio"))
    cost = [item.device_s for item in items]
    assert cost[3] is None, "it came to no pass"
    assert sum(part for part in cost if part is not None) == pytest.approx(0.05 * len(rig.engine.passes), rel=0.5)
    assert all(1 <= (item.micro_batch or 0) <= 4 for item in items[:3])
