"""How long to wait before trying again."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from asr_queue.errors import AsrQueueError, RetryableError

T = TypeVar("T")

_MOST_HIDDEN_S: Final = 60
_FIRST_S: Final = 0.1
_MOST_S: Final = 5.0
_PATIENCE_WHEN_STOPPING_S: Final = 2.0
"""What a shutdown grants a service that is away: the item is safe, and only its work would be lost."""


def delays_s() -> Iterator[float]:
    """Yield waits that double from 0.1 s to 5 s, each with jitter, so that workers do not march in step."""
    delay_s = _FIRST_S
    while True:
        yield random.uniform(delay_s / 2, delay_s)  # noqa: S311 - jitter, not a secret
        delay_s = min(2 * delay_s, _MOST_S)


def hidden_s(error: AsrQueueError, *, receive_count: int) -> int:
    """Return how long a message is hidden before it comes again: 1 to 60 s, doubling with each receive, with jitter."""
    most_s = min(_MOST_HIDDEN_S, 2.0 ** min(receive_count, 16))
    drawn_s = random.uniform(most_s / 2, most_s)  # noqa: S311 - jitter, not a secret
    least_s = error.retry_after_s if isinstance(error, RetryableError) else 1.0
    return min(_MOST_HIDDEN_S, max(1, round(least_s), round(drawn_s)))


def persist(call: Callable[[], T], *, patience_s: float, stopping: threading.Event) -> T:
    """Call again and again while the service is away, for `patience_s` seconds, or 2 s where the worker is stopping.

    Raises:
        RetryableError: it still was away at the end.
    """
    started_s = time.monotonic()
    waits_s = delays_s()
    while True:
        delay_s = next(waits_s)
        try:
            return call()
        except RetryableError:
            allowed_s = min(patience_s, _PATIENCE_WHEN_STOPPING_S) if stopping.is_set() else patience_s
            if time.monotonic() - started_s + delay_s > allowed_s:
                raise
        time.sleep(delay_s)
