"""A clock that a test moves by hand."""

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Clock that stands still until it is advanced."""

    def __init__(self, start: datetime = _START) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the instant it was set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward, to the millisecond."""
        self._now += timedelta(milliseconds=round(seconds * 1000))
