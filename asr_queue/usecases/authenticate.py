"""Who is asking."""

from asr_queue.domain.keys import hash_key
from asr_queue.errors import CallerError
from asr_queue.ports import ItemTable


def authenticate(key: str | None, *, table: ItemTable) -> str:
    """Return the tenant of an API key.

    The key is looked up by its hash, so the time that takes says nothing about other keys.

    Raises:
        CallerError: `unauthorized`: none was sent, or it is unknown, or revoked.
    """
    if not key:
        raise CallerError("unauthorized", "Send your API key in the X-API-Key header.", http_status=401)
    kept = table.get_key(hash_key(key))
    if kept is None or kept.revoked_at is not None:
        raise CallerError("unauthorized", "This API key is not known, or was revoked.", http_status=401)
    return kept.tenant
