"""The policy in simulation: near a makespan that nobody can beat, few swaps, and nobody waits past the bound."""

import random

import pytest

from asr_queue.domain.items import Operation
from benchmarks.model_swaps import PASS_S, SEEDS, SWAPS_S, TRAFFIC, outcome, quantile
from benchmarks.swaps.traffic import Sent, interleaved, oracle_s

ASR, TTS = Operation.TRANSCRIBE, Operation.VOICE_CLONE


@pytest.mark.parametrize("swap_s", SWAPS_S)
@pytest.mark.parametrize(
    "name",
    [
        "400 interleaved 1:1",
        "1:1 paced, 60% busy",
        "1:1 paced, 80% busy",
        "10:1 paced, 80% busy",
        "three priorities, 80% busy",
        "20 bursts of 200",
    ],
)
def test_all_is_done_within_115_hundredths_of_the_least_time_and_nobody_waits_past_the_bound(
    name: str, swap_s: float
) -> None:
    for seed in range(SEEDS):
        one = outcome(TRAFFIC[name](random.Random(seed)), swap_s=swap_s)
        assert one.ours.makespan_s <= 1.15 * one.oracle_s, seed
        assert one.ours.late == 0, seed


def test_where_models_would_change_all_the_time_there_are_ten_times_fewer_swaps() -> None:
    for swap_s in SWAPS_S:
        one = outcome(interleaved(400), swap_s=swap_s)
        assert one.first_come.swaps >= 10 * one.ours.swaps
    for seed in range(SEEDS):
        one = outcome(TRAFFIC["1:1 paced, 90% busy"](random.Random(seed)), swap_s=3.0)
        assert one.first_come.swaps >= 10 * one.ours.swaps, seed


def test_overload_costs_no_more_than_a_tenth() -> None:
    for swap_s in SWAPS_S:
        one = outcome(interleaved(8000), swap_s=swap_s)
        assert one.ours.late > 0, "the traffic is more than the bound allows"
        assert one.ours.makespan_s <= 1.1 * one.oracle_s


def test_every_item_is_served_once() -> None:
    one = outcome(interleaved(401), swap_s=3.0)
    assert {operation: len(waits_s) for operation, waits_s in one.ours.waits_s.items()} == {ASR: 201, TTS: 200}


def test_the_least_time_is_that_of_full_passes_after_the_moment_that_leaves_least() -> None:
    at_once = [Sent(ASR, 0.0)] * 17 + [Sent(TTS, 0.0)]
    assert oracle_s(at_once, pass_s=PASS_S, swap_s=3) == 2 * PASS_S[ASR] + PASS_S[TTS] + 3
    assert oracle_s([*at_once, Sent(ASR, 100.0)], pass_s=PASS_S, swap_s=3) == 100 + PASS_S[ASR]


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (quantile(values, 0.99), quantile(values, 1.0), quantile([], 0.5)) == (99.0, 100.0, 0.0)
