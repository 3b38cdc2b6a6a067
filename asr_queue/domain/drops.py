"""What the key of a dropped object means.

drop/<tenant>/audio/<language|auto>[+timestamps]/<name>    a recording: a batch of its own
drop/<tenant>/<any>/<name>.manifest.json, ….jsonl          a manifest: a batch of what it lists
drop/<tenant>/<any>.receipt.json, ….error.json             what became of one of these; written by the system
drop/<tenant>/<any>                                        a recording that waits for its manifest
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID, uuid5

from asr_queue.domain.files import DROP_PREFIX

MANIFEST_SUFFIX: Final = ".manifest.json"
MANIFEST_LINES_SUFFIX: Final = ".manifest.jsonl"
RECEIPT_SUFFIX: Final = ".receipt.json"
ERROR_SUFFIX: Final = ".error.json"
_MAX_KEY_BYTES: Final = 1024
"""The longest key that a bucket takes (S3 guide, "Naming objects")."""
_RECORDINGS: Final = "audio"
_WITH_TIMESTAMPS: Final = "+timestamps"
_FILE_IDS: Final = UUID("6f0c1b9e-0d7e-5a53-9d0f-2f6f0b8d4a11")
"""Namespace of the ids of dropped files; drawn once."""


class DropKind(Enum):
    """What is to be done with a dropped object."""

    RECORDING = auto()
    """It is submitted by itself."""
    MANIFEST = auto()
    """What it lists is submitted."""
    MATERIAL = auto()
    """It waits for a manifest that lists it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A dropped object, as its key tells it."""

    key: str
    tenant: str
    kind: DropKind
    name: str
    """Of a recording, what follows its language; else the last part of the key."""
    language: str = "auto"
    """Of a recording: as the key has it, not checked."""
    return_timestamps: bool = False
    """Of a recording: whether it is to get word times."""

    @classmethod
    def of(cls, key: str) -> "Drop | None":
        """Read a key; None where nothing is to be done: a note of ours, a folder's marker, nobody's object."""
        tenant, _, path = key.removeprefix(DROP_PREFIX).partition("/")
        is_note = key.endswith((RECEIPT_SUFFIX, ERROR_SUFFIX))
        if not key.startswith(DROP_PREFIX) or not tenant or not path or path.endswith("/") or is_note:
            return None
        last = path.rpartition("/")[2]
        if key.endswith((MANIFEST_SUFFIX, MANIFEST_LINES_SUFFIX)):
            return cls(key=key, tenant=tenant, kind=DropKind.MANIFEST, name=last)
        folder, _, rest = path.partition("/")
        told, _, name = rest.partition("/")
        if folder != _RECORDINGS or not told or not name:
            return cls(key=key, tenant=tenant, kind=DropKind.MATERIAL, name=last)
        return cls(
            key=key,
            tenant=tenant,
            kind=DropKind.RECORDING,
            name=name,
            language=told.removesuffix(_WITH_TIMESTAMPS),
            return_timestamps=told.endswith(_WITH_TIMESTAMPS),
        )

    @property
    def receipt_key(self) -> str:
        """Key of the note that says which batch it became."""
        return self.key + RECEIPT_SUFFIX

    @property
    def error_key(self) -> str:
        """Key of the note that says why it was refused."""
        return self.key + ERROR_SUFFIX

    @property
    def has_room_for_notes(self) -> bool:
        """Whether the keys of its notes are such as a bucket takes."""
        return max(len(key.encode()) for key in (self.receipt_key, self.error_key)) <= _MAX_KEY_BYTES

    def beside(self, name: str) -> str | None:
        """Return the key of an object that this manifest names relative to its own folder; None for no such name."""
        key = f"{self.key.rpartition('/')[0]}/{name}"
        is_path = any(part in ("", ".", "..") for part in name.split("/"))
        return None if is_path or "\0" in name or len(key.encode()) > _MAX_KEY_BYTES else key


def tenant_prefix(tenant: str) -> str:
    """Prefix of everything that a tenant has dropped."""
    return f"{DROP_PREFIX}{tenant}/"


def dropped_file_id(key: str) -> str:
    """Return the id of the file at a key under the drop prefix: the same at every event of it."""
    return str(uuid5(_FILE_IDS, key))
