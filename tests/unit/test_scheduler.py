"""Whose turn it is: what the policy promises, choice by choice."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.items import Operation
from gpu_worker.scheduler import Costs, Demand, choose

ASR, TTS = Operation.TRANSCRIBE, Operation.VOICE_CLONE
NOTHING = Demand(waiting=0, slack_s=inf)
HERE = Costs(swap_s=0, pass_s=1)
AWAY = Costs(swap_s=3, pass_s=1)
COSTS = {ASR: HERE, TTS: AWAY}
SECONDS = st.floats(-1000, 1000)
DEMANDS = st.one_of(st.just(NOTHING), st.builds(Demand, waiting=st.integers(1, 1000), slack_s=SECONDS))


def some(slack_s: float, waiting: int = 16) -> Demand:
    return Demand(waiting=waiting, slack_s=slack_s)


def test_where_nothing_waits_nobody_has_a_turn() -> None:
    assert choose({ASR: NOTHING, TTS: NOTHING}, COSTS, current=ASR) is None
    assert choose({}, COSTS, current=None) is None


def test_the_model_that_is_here_goes_on_while_the_other_has_time() -> None:
    assert choose({ASR: some(50), TTS: some(30)}, COSTS, current=ASR, stayed_s=1000) is ASR
    assert choose({ASR: some(50), TTS: some(6.1)}, COSTS, current=ASR) is ASR


def test_it_leaves_in_time_for_the_others_swap_and_passes() -> None:
    # 3 s for the swap, 1 s for what waits there, 2 s for the passes before.
    assert choose({ASR: some(50), TTS: some(6)}, COSTS, current=ASR) is TTS
    assert choose({ASR: some(50), TTS: some(15, waiting=160)}, COSTS, current=ASR) is TTS


def test_a_model_without_work_makes_way_at_once() -> None:
    assert choose({ASR: NOTHING, TTS: some(59, waiting=1)}, COSTS, current=ASR) is TTS


def test_under_overload_a_model_works_ten_times_as_long_as_a_swap_takes() -> None:
    both_late = {ASR: some(-5), TTS: some(-50)}
    assert choose(both_late, COSTS, current=ASR, stayed_s=29.9) is ASR
    assert choose(both_late, COSTS, current=ASR, stayed_s=30) is TTS


def test_an_operation_whose_bound_cannot_be_kept_does_not_break_off_a_turn_that_has_just_begun() -> None:
    assert choose({ASR: some(50), TTS: some(2.9)}, COSTS, current=ASR, stayed_s=1) is ASR
    assert choose({ASR: some(50), TTS: some(3)}, COSTS, current=ASR, stayed_s=1) is TTS


def test_where_all_models_are_here_the_least_slack_goes_first() -> None:
    costs = {ASR: HERE, TTS: HERE}
    assert choose({ASR: some(20), TTS: some(10)}, costs, current=ASR) is TTS
    assert choose({ASR: some(-20), TTS: some(10)}, costs, current=TTS) is ASR


def test_before_the_first_pass_the_model_that_is_here_begins() -> None:
    assert choose({ASR: some(60), TTS: some(60)}, COSTS, current=None) is ASR
    assert choose({ASR: some(60), TTS: some(40)}, {ASR: AWAY, TTS: AWAY}, current=None) is TTS


@given(DEMANDS, DEMANDS, st.floats(0, 30), st.floats(0, 30), st.floats(0, 1000))
def test_some_turn_comes_exactly_where_something_waits(
    asr: Demand, tts: Demand, swap_s: float, pass_s: float, stayed_s: float
) -> None:
    costs = {ASR: Costs(swap_s=0, pass_s=pass_s), TTS: Costs(swap_s=swap_s, pass_s=pass_s)}
    demands = {ASR: asr, TTS: tts}
    chosen = choose(demands, costs, current=ASR, stayed_s=stayed_s)
    if chosen is None:
        assert asr.waiting == tts.waiting == 0
    else:
        assert demands[chosen].waiting > 0
