"""The queue's pulse, felt at most every two seconds, however many ask."""

import threading
import time
from collections.abc import Callable
from typing import Final

from asr_queue.domain.batches import Priority
from asr_queue.errors import RetryableError
from asr_queue.usecases.queue_pulse import Pulse
from handlers.observability import logger

_FRESH_S: Final = 2.0
_NOT_TRIED_S: Final = 10.0
"""After a failure: a service that is away takes seconds to say so, and a status should not."""


class Pulses:
    """Keeps the last pulse; safe to use from several threads."""

    def __init__(self, take: Callable[[], Pulse], *, seconds: Callable[[], float] = time.monotonic) -> None:
        """Take what feels the pulse, and what tells its age."""
        self._take = take
        self._seconds = seconds
        self._taking = threading.Lock()
        self._last: Pulse | RetryableError | None = None
        self._good_until_s = 0.0

    def now(self) -> Pulse:
        """Return a pulse that is two seconds old at the most, or a little more while the next one is being felt.

        Raises:
            RetryableError: it cannot be felt; that is then not tried again for a while.
        """
        last = self._last
        # Who comes while it is being felt takes the last one, and waits only where there has been none.
        if self._taking.acquire(blocking=last is None) or last is None:
            try:
                last = self._fresh()
            finally:
                self._taking.release()
        if isinstance(last, RetryableError):
            raise last
        return last

    def try_now(self) -> Pulse | None:
        """Return the same, or None."""
        try:
            return self.now()
        except RetryableError:
            return None

    def sent(self, items: int, priority: Priority) -> None:
        """Note that this process has sent items: the next batch's place is behind them."""
        if not self._taking.acquire(blocking=False):
            return  # it is being felt, and will tell of them
        try:
            if isinstance(self._last, Pulse):
                self._last = self._last.and_sent(items, priority)
        finally:
            self._taking.release()

    def _fresh(self) -> Pulse | RetryableError:
        if self._last is None or self._seconds() >= self._good_until_s:
            self._last = self._felt()
            self._good_until_s = self._seconds() + (_FRESH_S if isinstance(self._last, Pulse) else _NOT_TRIED_S)
        return self._last

    def _felt(self) -> Pulse | RetryableError:
        try:
            return self._take()
        except RetryableError as error:
            logger.warning("pulse_failed", extra={"code": error.code, "reason": error.message})
            return error
