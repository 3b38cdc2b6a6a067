"""Waiting for what another process does."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], *, patience_s: float = 60) -> bool:
    """Return whether a condition comes true in time."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        if condition():
            return True
        time.sleep(0.1)
    return False
