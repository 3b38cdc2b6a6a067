"""Who is asking."""

from typing import Final

from asr_queue.domain.keys import ApiKey, hash_key
from asr_queue.domain.quotas import Limits
from asr_queue.errors import CallerError, QuotaError
from asr_queue.ports import Clock, ItemTable

_RETRY_S: Final = 1.0
"""Requests are counted by the second."""


def authenticate(key: str | None, *, table: ItemTable) -> ApiKey:
    """Return what is kept of an API key.

    The key is looked up by its hash, so the time that takes says nothing about other keys.

    Raises:
        CallerError: `unauthorized`: none was sent, or it is unknown, or revoked.
    """
    if not key:
        raise CallerError("unauthorized", "Send your API key in the X-API-Key header.", http_status=401)
    kept = table.get_key(hash_key(key))
    if kept is None or kept.revoked_at is not None:
        raise CallerError("unauthorized", "This API key is not known, or was revoked.", http_status=401)
    return kept


def admit(key: ApiKey, limits: Limits, *, table: ItemTable, clock: Clock) -> None:
    """Count a request of a key that has a limit on them; others cost nothing.

    Raises:
        QuotaError: `too_many_requests`.
    """
    if limits.requests_per_s is None:
        return
    if table.count_request(key.key_hash, now=clock.now()) > limits.requests_per_s:
        raise QuotaError(
            "too_many_requests",
            f"This key may send {limits.requests_per_s} requests a second.",
            retry_after_s=_RETRY_S,
        )
