"""When to ask again: after a failure, and while a batch is not finished. No I/O, no clock."""

import random
from dataclasses import dataclass
from typing import Final

from asr_queue.client.errors import ApiError, TransportError

_RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
_RETRIED_CODES: Final = frozenset({"request_in_progress"})
"""409 while an earlier try of the same submit still runs: its answer comes to whoever asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a call is repeated, and how the waits grow: doubling, with up to as much jitter again."""

    retry_for_s: float = 60.0
    """A call that still fails so long after its first failure is given up; 0 means one try."""
    first_wait_s: float = 0.25
    longest_wait_s: float = 10.0

    def wait_s(self, error: Exception, *, elapsed_s: float) -> bool | float:
        """Say what to do about a failed try.

        Every call of the contract may be repeated: GETs are safe, a repeated upload leaves an orphan that expires,
        and a submit carries an Idempotency-Key.

        Args:
            elapsed_s: since the call's first failure. (Not since its beginning: a long upload deserves a second try.)

        Returns:
            False: give up. True: try again after the usual wait. A number: try again after so many seconds, because
            the server asked for that (with some jitter on top, never less than it asked for).
        """
        if not is_retryable(error) or elapsed_s >= self.retry_for_s:
            return False
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        if asked_s is None:
            return True
        if elapsed_s + asked_s > self.retry_for_s:
            return False
        return asked_s + random.uniform(0, max(self.first_wait_s, asked_s / 4))  # noqa: S311 - spreads load


def is_retryable(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ApiError):
        return error.status in _RETRIED_STATUSES or error.code in _RETRIED_CODES
    return isinstance(error, TransportError) and error.is_retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How often a batch is asked for."""

    first_s: float = 0.5
    longest_s: float = 5.0
    growth: float = 1.5
    jitter: float = 0.2
    """Share of the interval by which a wait is drawn longer or shorter."""


class PollTimer:
    """The waits between the polls of one batch: they grow while nothing moves, and start again when something did."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._interval_s = policy.first_s

    def next_wait_s(self, *, progressed: bool, retry_after_s: float | None = None, at_least_s: float = 0.0) -> float:
        """Return how long to wait before the next poll.

        Args:
            progressed: whether the last answer differed from the one before.
            retry_after_s: what the server asked for; never less than that.
            at_least_s: a floor of the caller's, for many batches polled at once.
        """
        if progressed:
            self._interval_s = self._policy.first_s
        drawn_s = self._interval_s * random.uniform(1 - self._policy.jitter, 1 + self._policy.jitter)  # noqa: S311
        self._interval_s = min(self._interval_s * self._policy.growth, self._policy.longest_s)
        return max(drawn_s, retry_after_s or 0.0, at_least_s)
