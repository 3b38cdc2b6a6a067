"""Waits between tries and between polls; no clock needed."""

import pytest

from asr_queue.client import ApiError, BadAnswerError, PollPolicy, RetryPolicy, TransportError
from asr_queue.client.pacing import PollTimer

DRAWS = 200
BUSY = ApiError(503, "busy", "later")


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    policy = RetryPolicy(retry_for_s=1000, first_wait_s=1, longest_wait_s=8)
    for failures, longest_s in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)]:
        waits = [policy.wait_s(BUSY, failures=failures, elapsed_s=0) or 0 for _ in range(DRAWS)]
        assert longest_s / 2 <= min(waits) < max(waits) <= longest_s
        assert max(waits) - min(waits) > longest_s / 4


def test_a_wait_is_never_shorter_than_the_server_asks_for() -> None:
    asked = ApiError(429, "slow_down", "later", retry_after_s=7)
    waits = [RetryPolicy().wait_s(asked, failures=1, elapsed_s=0) or 0 for _ in range(DRAWS)]
    assert 7 < min(waits) < max(waits) < 8


@pytest.mark.parametrize("error", [BUSY, TransportError("gone")])
def test_patience_ends(error: Exception) -> None:
    policy = RetryPolicy(retry_for_s=60)
    assert policy.wait_s(error, failures=3, elapsed_s=50) is not None
    assert policy.wait_s(error, failures=3, elapsed_s=60) is None


def test_a_limit_of_the_key_is_waited_out() -> None:
    full = ApiError(429, "too_many_bytes_stored", "later", retry_after_s=60)
    policy = RetryPolicy(retry_for_s=60, room_for_s=1800)
    wait_s = policy.wait_s(full, failures=20, elapsed_s=1700)
    assert wait_s is not None
    assert wait_s > 60
    assert policy.wait_s(full, failures=20, elapsed_s=1750) is None


def test_one_try_is_one_try() -> None:
    assert RetryPolicy(retry_for_s=0).wait_s(BUSY, failures=1, elapsed_s=0) is None


@pytest.mark.parametrize(
    "error", [ApiError(404, "x", "x"), ApiError(501, "x", "x"), BadAnswerError("x"), KeyError("x")]
)
def test_what_no_repeat_can_help_is_given_up_at_once(error: Exception) -> None:
    assert RetryPolicy().wait_s(error, failures=1, elapsed_s=0) is None


def test_polls_slow_down_while_nothing_moves_and_start_again_when_something_did() -> None:
    timer = PollTimer(PollPolicy(first_wait_s=1, longest_wait_s=4))
    for wait_s in (1, 1.5, 2.25, 3.375, 4, 4):
        assert timer.next_wait_s(has_moved=False) == pytest.approx(wait_s, rel=0.21)
    assert timer.next_wait_s(has_moved=True) == pytest.approx(1, rel=0.21)


def test_polls_of_many_batches_together_keep_their_distance() -> None:
    assert PollTimer(PollPolicy()).next_wait_s(has_moved=True, at_least_s=10) == 10
