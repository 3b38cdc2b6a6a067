"""The scaling rules of the template, simulated over arrivals of audio."""

import pytest

from asr_queue.usecases import measure_backlog
from benchmarks.autoscaling import (
    DAY_S,
    HELD_ITEMS,
    HOUR_S,
    INSTANCE_START_S,
    REMEMBERED_ITEMS,
    STEP_S,
    SWEEP_EVERY_S,
    TASK_START_S,
    TRACES,
    Arrival,
    simulate,
)
from benchmarks.scaling_rules import evaluate, read
from gpu_worker.pipeline import flow
from handlers import sweep

RULES = read()
SEEN_AFTER_S = 180
"""A look every half minute, a minute until its minute is over, and one until the alarm looks at it."""


@pytest.fixture(scope="module", params=TRACES)
def run(request: pytest.FixtureRequest):
    return simulate(TRACES[request.param], RULES)


def test_no_trace_leaves_work_and_none_leaves_a_worker(run) -> None:
    assert run.waiting_items[-1] == 0
    assert run.running[-1] == 0


def test_work_is_never_alone_for_longer_than_a_start_takes(run) -> None:
    assert run.longest_alone_s <= SEEN_AFTER_S + INSTANCE_START_S + TASK_START_S


def test_no_trace_flaps(run) -> None:
    assert run.turns(HOUR_S) <= 2
    to_zero = [
        at for at, (before, after) in enumerate(zip(run.wanted, run.wanted[1:], strict=False)) if before > after == 0
    ]
    for at in to_zero:
        assert max(run.wanted[at + 1 : at + 1800 // STEP_S], default=0) == 0, "ended, and wanted again at once"


def test_no_trace_asks_for_more_than_there_may_be(run) -> None:
    assert max(run.wanted) <= RULES.most


def test_nothing_costs_nothing() -> None:
    assert simulate([], RULES).instance_s == 0


def test_a_burst_gets_all_the_workers_and_is_over_within_half_an_hour() -> None:
    for name in ("burst: 50 h in 6,000 items of 30 s", "burst: 50 h in 200 items of 15 min"):
        run = simulate(TRACES[name], RULES)
        assert max(run.running) == RULES.most
        assert max(wait_s for wait_s, _ in run.waits_s) < HOUR_S / 2
        assert sum(items for _, items in run.waits_s) == sum(arrival.items for arrival in TRACES[name])


def test_a_wave_is_cheaper_than_workers_that_stay() -> None:
    run = simulate(TRACES["daily wave: up to 250 s a second"], RULES)
    assert run.instance_s < 0.7 * max(run.wanted) * DAY_S
    assert run.wait_s(0.95) < HOUR_S / 4


def test_fewer_seconds_a_worker_bring_more_workers() -> None:
    arrivals = [Arrival(0, 400, 30.0)]
    few, many = simulate(arrivals, RULES), simulate(arrivals, read(BacklogPerWorkerS=3000))
    assert max(few.wanted) < max(many.wanted)


def test_speech_that_is_to_be_made_asks_for_workers_and_keeps_them() -> None:
    waits = {"backlog": 0.0, "speech": 7200.0, "said": 0.0, "said_high": 0.0, "said_low": 0.0}
    sent = {"sent": 0.0, "sent_high": 0.0, "sent_low": 0.0}
    assert evaluate(RULES.from_zero.expression, waits | {"tasks": 0}) == 2
    assert evaluate(RULES.share, waits | {"tasks": 1}) == 2 * RULES.target
    assert evaluate(RULES.one_less.expression, waits | {"tasks": 2}) == 1
    assert evaluate(RULES.to_zero.expression, waits | sent) == 7200
    assert evaluate(RULES.to_zero.expression, waits | sent | {"speech": 0.0, "said_low": 1.0}) == 1


def test_the_simulation_knows_the_same_numbers_as_the_code() -> None:
    assert sweep._SECONDS_BETWEEN == SWEEP_EVERY_S
    assert measure_backlog._REMEMBERED_ITEMS == REMEMBERED_ITEMS
    assert flow._MICRO_BATCHES_HELD * 16 == HELD_ITEMS


def test_metric_expressions_are_computed_as_cloudwatch_does() -> None:
    assert evaluate("IF(FILL(tasks, 0) < 1, backlog / 100, 0)", {"tasks": 0, "backlog": 250}) == 2.5
    assert evaluate("IF(FILL(tasks, 0) < 1, backlog / 100, 0)", {"tasks": 1, "backlog": 250}) == 0
    assert evaluate("(a - 1) * 2 + b", {"a": 3, "b": 0.5}) == 4.5
    with pytest.raises(ValueError, match="does not know"):
        evaluate("ANOMALY_DETECTION_BAND(a, 2)", {"a": 1})
