"""A file: an upload or a transcript, and the rule by which it expires."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from asr_queue.domain.ids import ID

DROP_PREFIX: Final = "drop/"
"""Of the keys that clients choose by themselves."""
UPLOADS_PREFIX: Final = "uploads/"
TRANSCRIPT_TYPE: Final = "application/json"
PRESIGNED_SUFFIX: Final = ".presigned"
MAX_PINS: Final = 5000
"""Unfinished items that one upload may be needed by: each takes 37 bytes of a row that has 400 KB at most."""
_NAME: Final = re.compile(rf"(?:queue_[a-z_]+_)?({ID})(?:\.[a-z0-9]+)?")


class FileKind(StrEnum):
    """Where a file came from."""

    UPLOAD = "upload"
    RESULT = "result"
    """Made by the system: a transcript, speech, or a note on what became of a drop."""
    VOICE = "voice"
    """A named voice: a copy of a sample, which stays until it is deleted (`domain.voices`)."""


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
    """What the client called it: data, never part of a path or a key. A voice's name."""
    said: str = ""
    """What is said in a voice's sample; empty where nobody told."""
    is_awaited: bool = False
    """Whether its bytes are still to come, by a presigned upload; it cannot be used before."""
    parts_id: str | None = None
    """What the store calls an upload in parts that brings them."""
    counted_bytes: int = 0
    """What its tenant's usage counts of it, from its registration until it is settled: its size, or nothing."""
    pinned_by: frozenset[str] = frozenset()
    """Ids of the unfinished items that need it."""

    @property
    def has_secret_id(self) -> bool:
        """Whether nobody can guess its id. That of a dropped file follows from its key (`domain.drops`)."""
        return not self.object_key.startswith(DROP_PREFIX)

    @property
    def is_transcript(self) -> bool:
        """Whether the system made it of a recording; a note on a drop lies beside what was dropped."""
        return self.kind is FileKind.RESULT and self.content_type == TRANSCRIPT_TYPE and self.has_secret_id

    @property
    def is_pinned_enough(self) -> bool:
        """Whether no more items may need it."""
        return len(self.pinned_by) >= MAX_PINS

    def is_expired(self, now: datetime) -> bool:
        """Whether nobody may read it any more: past its time, and no unfinished item needs it."""
        return now >= self.expires_at and not self.pinned_by


def file_id_of(name: str) -> str | None:
    """Return the id in the last part of an item's `url`, or in a file id; None for any other name."""
    matched = _NAME.fullmatch(name)
    return matched[1] if matched else None


def uploads_prefix(tenant: str) -> str:
    """Prefix of all uploads of a tenant."""
    return f"{UPLOADS_PREFIX}{tenant}/"


def upload_key(tenant: str, file_id: str) -> str:
    """Object key of an upload."""
    return f"{uploads_prefix(tenant)}{file_id}"


def presigned_key(tenant: str, file_id: str) -> str:
    """Object key of an upload that goes straight to the store; it tells of those, by the suffix (`template.yaml`)."""
    return upload_key(tenant, file_id) + PRESIGNED_SUFFIX


def presigned_file_id(key: str) -> str | None:
    """Return the id of the file at such a key; None for any other key."""
    is_one = key.startswith(UPLOADS_PREFIX) and key.endswith(PRESIGNED_SUFFIX)
    return key.rpartition("/")[2].removesuffix(PRESIGNED_SUFFIX) if is_one else None
