"""API keys: what is kept of one is its hash."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from asr_queue.domain.quotas import NO_LIMITS, Limits

_PREFIX = "asrq_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key."""

    key_hash: str
    """SHA-256 of the key, hex. A key has 256 random bits, so a plain hash cannot be guessed back."""
    tenant: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    limits: Limits = NO_LIMITS


def new_key() -> str:
    """Return a fresh key; it is shown once and never stored."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Return what is stored and looked up for a key."""
    return hashlib.sha256(key.encode()).hexdigest()
