"""How instants look on the wire."""

from datetime import UTC, datetime


def iso(instant: datetime) -> str:
    """Return an instant in ISO 8601, in UTC, to the millisecond: `2026-01-31T12:30:00.000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(instant: datetime | None) -> str | None:
    """Return the same; None where there is none."""
    return None if instant is None else iso(instant)
