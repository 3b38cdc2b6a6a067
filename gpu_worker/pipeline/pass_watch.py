"""How long the pass that runs has lasted, and whose it is."""

import threading
import time
from collections.abc import Iterable


class PassWatch:
    """A stopwatch that the stage which infers starts and stops, and the watchdog reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_s = 0.0
        self._keys: frozenset[str] = frozenset()

    def start(self, keys: Iterable[str]) -> None:
        """Note that a pass over these items begins."""
        with self._lock:
            self._started_s = time.monotonic()
            self._keys = frozenset(keys)

    def stop(self) -> float:
        """Note that the pass has ended, and return how many seconds it took."""
        with self._lock:
            self._keys = frozenset()
            return time.monotonic() - self._started_s

    def overdue(self, limit_s: float) -> frozenset[str]:
        """Return the keys of the items whose pass has lasted longer than `limit_s`; none, where none has."""
        with self._lock:
            return self._keys if time.monotonic() - self._started_s > limit_s else frozenset()
