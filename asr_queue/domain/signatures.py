"""Signatures of what a callback is told, by the Standard Webhooks scheme (specification 1.0.0, symmetric, `v1`)."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
"""The specification wants 24 to 64."""
OVERLAP: Final = timedelta(hours=24)
"""How long the secret before signs too, so that a receiver can change over without missing anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """A tenant's signing secrets: the one in force, and for a day after a rotation the one before."""

    tenant: str
    secret: str
    """`whsec_` and 32 random bytes in base64. Unlike an API key it has to be kept as it is: it signs."""
    created_at: datetime
    previous: str | None = None
    previous_until: datetime | None = None
    """Set exactly with `previous`."""

    @classmethod
    def new(cls, tenant: str, *, now: datetime) -> "Secrets":
        """Return the first secret of a tenant."""
        return cls(tenant=tenant, secret=_new_secret(), created_at=now)

    def rotated(self, *, now: datetime) -> "Secrets":
        """Return them with a new secret; the one until now signs for a day more, and any before it no longer."""
        return replace(self, secret=_new_secret(), created_at=now, previous=self.secret, previous_until=now + OVERLAP)

    def in_force(self, now: datetime) -> list[str]:
        """Return the secrets that sign at that moment, the newest first."""
        is_overlap = self.previous is not None and self.previous_until is not None and now < self.previous_until
        return [self.secret, self.previous] if is_overlap and self.previous is not None else [self.secret]


def signed_headers(body: bytes, *, webhook_id: str, at: datetime, keys: list[str]) -> dict[str, str]:
    """Return the three headers of the scheme for a body that is sent at that moment."""
    timestamp = str(int(at.timestamp()))
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signatures = " ".join(f"v1,{_signature(content, key)}" for key in keys)
    return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
