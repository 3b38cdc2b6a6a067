"""Whose turn it is: shares by weight, and nobody starves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from asr_queue.domain.batches import Priority
from asr_queue.domain.lanes import WEIGHTS, LaneTurns

LONGEST_WAIT = {Priority.HIGH: 2, Priority.NORMAL: 4, Priority.LOW: 14}
"""Turns by which a lane that has something is passed over, at most."""

LANES = st.sets(st.sampled_from(Priority), min_size=1)
WAITING = st.lists(st.sets(st.sampled_from(Priority)), min_size=1, max_size=200)
"""At each receive, the lanes that have something."""


def served(turns: LaneTurns, waiting: set[Priority]) -> Priority | None:
    """Have the next turn taken, as a receive does; return by whom."""
    for lane in turns.order():
        if lane in waiting:
            turns.take(lane)
            return lane
    return None


def test_thirteen_turns_are_shared_eight_to_four_to_one_and_evenly_mixed() -> None:
    turns = LaneTurns(Priority)
    lanes = [served(turns, set(Priority)) for _ in range(26)]
    assert Counter(lanes[13:]) == WEIGHTS
    assert all(Priority.HIGH in lanes[start : start + 3] for start in range(24)), "they do not come in heaps"


@given(WAITING, st.integers(0, 60))
def test_while_all_have_something_each_has_its_share_whatever_was_before(
    before: list[set[Priority]], rounds: int
) -> None:
    turns = LaneTurns(Priority)
    for waiting in before:
        served(turns, waiting)
    counts = Counter(served(turns, set(Priority)) for _ in range(13 * rounds))
    for lane, weight in WEIGHTS.items():
        assert abs(counts[lane] - weight * rounds) <= 2


@given(WAITING, st.integers(1, 40))
def test_two_lanes_share_what_a_third_has_no_use_for_by_their_own_weights(
    before: list[set[Priority]], rounds: int
) -> None:
    for idle in Priority:
        turns = LaneTurns(Priority)
        for waiting in before:
            served(turns, waiting)
        busy = set(Priority) - {idle}
        whole = sum(WEIGHTS[lane] for lane in busy)
        counts = Counter(served(turns, busy) for _ in range(whole * rounds))
        for lane in busy:
            assert abs(counts[lane] - WEIGHTS[lane] * rounds) <= 2


@given(WAITING)
def test_no_lane_that_has_something_is_passed_over_for_longer_than_its_bound(history: list[set[Priority]]) -> None:
    turns = LaneTurns(Priority)
    passed_over = dict.fromkeys(Priority, 0)
    for waiting in history:
        lane = served(turns, waiting)
        for each in Priority:
            passed_over[each] = passed_over[each] + 1 if each in waiting and each is not lane else 0
            assert passed_over[each] <= LONGEST_WAIT[each]


@given(LANES, WAITING)
def test_no_turn_is_lost_while_anybody_has_something(lanes: set[Priority], history: list[set[Priority]]) -> None:
    turns = LaneTurns(lanes)
    for waiting in history:
        assert (served(turns, waiting) in waiting) == bool(waiting & lanes)


def test_a_lane_that_was_long_empty_has_saved_up_nothing() -> None:
    turns = LaneTurns(Priority)
    for _ in range(1000):
        served(turns, {Priority.LOW})
    counts = Counter(served(turns, set(Priority)) for _ in range(13))
    assert counts[Priority.LOW] >= 1
