"""A file: an upload or a transcript, and the rule by which it expires."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FileKind(StrEnum):
    """Where a file came from."""

    UPLOAD = "upload"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What is kept of a file beside its bytes; it outlives them, so that a late caller is told 410."""

    file_id: str
    """A result has the id of its item."""
    tenant: str
    kind: FileKind
    object_key: str
    size_bytes: int
    content_type: str
    created_at: datetime
    expires_at: datetime
    """End of life, pins aside."""
    file_name: str = ""
    """What the client called it: data, never part of a path or a key."""
    pinned_by: frozenset[str] = frozenset()
    """Ids of the unfinished items that need it."""

    def is_expired(self, now: datetime) -> bool:
        """Whether nobody may read it any more: past its time, and no unfinished item needs it."""
        return now >= self.expires_at and not self.pinned_by


def upload_key(tenant: str, file_id: str) -> str:
    """Object key of an upload."""
    return f"uploads/{tenant}/{file_id}"
