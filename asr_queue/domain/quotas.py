"""What a key may use at most, and what its tenant uses.

Limits are a key's, and usage is its tenant's: whoever has two keys of one tenant has one backlog, and a new key does
not start at nothing. Of an item or an upload that was taken in under a limit, its own row says that it counts.
"""

from dataclasses import dataclass
from typing import Final

from asr_queue.domain.files import MAX_PINS
from asr_queue.errors import CallerError, QuotaError

_ITEMS_RETRY_S: Final = 10.0
"""Items end all the time."""
_BYTES_RETRY_S: Final = 60.0
"""Uploads go by expiry, and the sweep runs twice a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key may use; None for no limit."""

    items_waiting: int | None = None
    """Items that are not final."""
    bytes_stored: int | None = None
    """Bytes of uploads, from their request on and until they are gone."""
    requests_per_s: int | None = None
    """Requests in one second of the clock, whatever they ask."""

    def or_else(self, others: "Limits") -> "Limits":
        """Return these limits, with the others' where there is none."""
        return Limits(
            items_waiting=others.items_waiting if self.items_waiting is None else self.items_waiting,
            bytes_stored=others.bytes_stored if self.bytes_stored is None else self.bytes_stored,
            requests_per_s=others.requests_per_s if self.requests_per_s is None else self.requests_per_s,
        )


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What of a tenant counts."""

    items_waiting: int = 0
    bytes_stored: int = 0


def pinned_enough(upload_id: str) -> QuotaError:
    """Return the refusal of items that need an upload which as many need already as may."""
    return QuotaError(
        "too_many_items_of_upload",
        f"File {upload_id} is needed by {MAX_PINS} unfinished items or nearly, and by more it may not be; upload it "
        f"again, or wait until some are done.",
        retry_after_s=_ITEMS_RETRY_S,
    )


def refuse_items(items: int, usage: Usage, limit: int) -> None:
    """Raise unless so many items more may wait.

    Raises:
        CallerError: `too_many_items`: they never can.
        QuotaError: `too_many_items_waiting`.
    """
    if items > limit:
        raise CallerError(
            "too_many_items", f"{items} items are more than the {limit} that this key may have waiting; send fewer."
        )
    if usage.items_waiting + items > limit:
        raise QuotaError(
            "too_many_items_waiting",
            f"{usage.items_waiting} items wait, and this key may have {limit}; {items} more have to wait until "
            f"{usage.items_waiting + items - limit} of them are done.",
            retry_after_s=_ITEMS_RETRY_S,
        )


def refuse_bytes(size_bytes: int, usage: Usage, limit: int) -> None:
    """Raise unless so many bytes more may be stored.

    Raises:
        CallerError: `payload_too_large`: they never can.
        QuotaError: `too_many_bytes_stored`.
    """
    if size_bytes > limit:
        raise CallerError(
            "payload_too_large",
            f"{size_bytes} bytes are more than the {limit} that this key may have stored.",
            http_status=413,
        )
    if usage.bytes_stored + size_bytes > limit:
        raise QuotaError(
            "too_many_bytes_stored",
            f"{usage.bytes_stored} bytes are stored, and this key may have {limit}; {size_bytes} more have to wait "
            f"until uploads expire or are deleted.",
            retry_after_s=_BYTES_RETRY_S,
        )
