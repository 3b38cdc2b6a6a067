"""The machine's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Clock over the operating system's time."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC, to the millisecond."""
        instant = datetime.now(UTC)  # noqa: TID251 - the one place that may ask
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
