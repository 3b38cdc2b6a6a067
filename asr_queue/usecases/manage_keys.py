"""Make, list and revoke API keys."""

import re
from dataclasses import replace
from typing import Final

from asr_queue.domain.keys import ApiKey, hash_key, new_key
from asr_queue.domain.quotas import NO_LIMITS, Limits
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable

_TENANT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")


def create_key(
    *,
    tenant: str,
    name: str,
    table: ItemTable,
    clock: Clock,
    key: str | None = None,
    limits: Limits = NO_LIMITS,
) -> tuple[str, ApiKey]:
    """Store a key's hash for a tenant; return the key, which nobody can read again, and what is kept of it.

    Args:
        tenant: part of the keys of its objects and rows, so nothing that ends such a part.
        key: a key that exists already and is to be known here; None makes a new one.
        limits: what it may use; where it has no limit, the settings' holds.

    Raises:
        CallerError: `invalid_tenant`.
    """
    if not _TENANT.fullmatch(tenant):
        raise CallerError(
            "invalid_tenant", f"{tenant!r} cannot name a tenant: 1 to 64 letters, digits, dots, dashes, underscores."
        )
    key = key or new_key()
    kept = ApiKey(key_hash=hash_key(key), tenant=tenant, name=name, created_at=clock.now(), limits=limits)
    table.put_key(kept)
    return key, kept


def revoke_key(key_hash_prefix: str, *, table: ItemTable, clock: Clock) -> ApiKey:
    """Revoke the one key whose hash begins like this; it is refused from the next request on.

    Raises:
        CallerError: `key_not_found` or `key_ambiguous`.
    """
    matching = [key for key in table.list_keys() if key.key_hash.startswith(key_hash_prefix)]
    if not matching:
        raise CallerError(
            "key_not_found", f"No key's hash begins with {key_hash_prefix!r}; see the list.", http_status=404
        )
    if len(matching) > 1:
        raise CallerError(
            "key_ambiguous", f"{len(matching)} keys' hashes begin with {key_hash_prefix!r}; give more of it."
        )
    [key] = matching
    if key.revoked_at is None:
        key = replace(key, revoked_at=clock.now())
        table.put_key(key)
    return key
