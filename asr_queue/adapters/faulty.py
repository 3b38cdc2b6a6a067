"""Any port, with calls that fail before, after or long before they take effect."""

from collections.abc import Callable
from enum import Enum, auto
from functools import partial, wraps
from typing import Any

from asr_queue.errors import RetryableError


class Fault(Enum):
    """What becomes of one call."""

    NONE = auto()
    BEFORE = auto()
    """It fails, and nothing happened."""
    AFTER = auto()
    """It happens, and its reply is lost."""
    LATE = auto()
    """It fails, and happens later: when whoever holds `late` calls what is in there."""


class Faulty:
    """A port whose every call asks a script for its fate."""

    def __init__(
        self, inner: Any, script: Callable[[str], Fault], *, late: list[Callable[[], object]] | None = None
    ) -> None:
        """Wrap a port.

        Args:
            inner: the port.
            script: called with each method's name, before the call.
            late: what has yet to happen is put here; a script that knows `Fault.LATE` needs it.
        """
        self._inner = inner
        self._script = script
        self._late = late

    def __getattr__(self, name: str) -> Any:
        """Return a method of the port that may fail."""
        method = getattr(self._inner, name)

        @wraps(method)
        def call(*arguments: Any, **keywords: Any) -> Any:
            fault = self._script(name)
            if fault is Fault.LATE and self._late is not None:
                self._late.append(partial(method, *arguments, **keywords))
            if fault in (Fault.BEFORE, Fault.LATE):
                raise RetryableError("scripted_fault", f"{name} failed before it took effect")
            result = method(*arguments, **keywords)
            if fault is Fault.AFTER:
                raise RetryableError("scripted_fault", f"the reply of {name} was lost")
            return result

        return call
