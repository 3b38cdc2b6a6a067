"""When to ask again: after a failure, and while a batch is not finished. No I/O, no clock."""

import random
from dataclasses import dataclass
from typing import Final

from asr_queue.client.errors import ApiError, TransportError

_RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_RETRIED_CODES: Final = frozenset({"request_in_progress"})
"""409 while an earlier try of the same submit still runs: its answer comes to whoever asks again."""


_NO_ROOM_CODES: Final = frozenset({"too_many_items_waiting", "too_many_bytes_stored"})
"""A limit of the key: there is room when items are done, or uploads expire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a call is repeated, and how its waits grow: doubling, each drawn from the upper half of its interval."""

    retry_for_s: float = 60.0
    """A call is given up when it could not be tried again within this time of its first failure; 0 means one try.

    Counted from the failure, not from the beginning of the call: a long upload deserves a second try.
    """
    room_for_s: float = 3600.0
    """The same where a limit of the key leaves no room: the server is well, and others of the caller's are served."""
    first_wait_s: float = 0.25
    longest_wait_s: float = 10.0

    def wait_s(self, error: Exception, *, failures: int, elapsed_s: float) -> float | None:
        """Return how long to wait before the next try, or None to give up.

        Every call of the contract may be repeated: GETs are safe, a repeated upload leaves an orphan that expires,
        and a submit carries an Idempotency-Key.

        Args:
            failures: tries of this call that have failed, this one included.
            elapsed_s: since the first of them.
        """
        if not is_retryable(error):
            return None
        # The bound on the exponent keeps the float finite.
        longest_s = min(self.longest_wait_s, self.first_wait_s * 2 ** min(failures - 1, 30))
        wait_s = _spread(longest_s / 2, longest_s)
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            # Never sooner than the server asks for; spread, so that not everybody comes back at once.
            wait_s += error.retry_after_s
        has_no_room = isinstance(error, ApiError) and error.code in _NO_ROOM_CODES
        patience_s = self.room_for_s if has_no_room else self.retry_for_s
        return wait_s if elapsed_s + wait_s <= patience_s else None


def is_retryable(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ApiError):
        return error.status in _RETRIED_STATUSES or error.code in _RETRIED_CODES
    return isinstance(error, TransportError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How often a batch is asked for: waits grow by half while nothing moves, and start again when something did."""

    first_wait_s: float = 0.5
    longest_wait_s: float = 5.0


class PollTimer:
    """The waits between the polls of one batch."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._wait_s = policy.first_wait_s

    def next_wait_s(self, *, has_moved: bool, at_least_s: float = 0.0) -> float:
        """Return how long to wait before the next poll.

        Args:
            has_moved: whether the last answer differed from the one before.
            at_least_s: a floor of the caller's, for many batches polled at once.
        """
        if has_moved:
            self._wait_s = self._policy.first_wait_s
        drawn_s = _spread(0.8 * self._wait_s, 1.2 * self._wait_s)
        self._wait_s = min(self._wait_s * 1.5, self._policy.longest_wait_s)
        return max(drawn_s, at_least_s)


def _spread(low_s: float, high_s: float) -> float:
    return random.uniform(low_s, high_s)  # noqa: S311 - spreads load, keeps no secret
