"""Files that can be listed: their object keys say when they came, and what for.

So one listing of the store has a tenant's all in order, and no index is kept for it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asr_queue.domain.ids import ID

_KEY: Final = re.compile(rf".*/listed/(\d{{13}})\.([a-z_]+)\.({ID})")


@dataclass(frozen=True, slots=True, order=True)
class ListedKey:
    """What such a key says; they are in the order in which the files came."""

    created_ms: int
    """Since 1970."""
    file_id: str
    purpose: str

    @classmethod
    def of(cls, key: str) -> "ListedKey | None":
        """Read an object key; None for that of any other object."""
        matched = _KEY.fullmatch(key)
        return cls(int(matched[1]), matched[3], matched[2]) if matched else None


def listed_prefix(folder: str) -> str:
    """Prefix of the keys of those below a prefix, such as that of a tenant's uploads."""
    return f"{folder}listed/"


def listed_key(folder: str, file_id: str, *, created_at: datetime, purpose: str) -> str:
    """Object key of a file that can be listed.

    Args:
        folder: as for `listed_prefix`.
        purpose: letters of a to z, and underscores.
    """
    return f"{listed_prefix(folder)}{round(created_at.timestamp() * 1000):013}.{purpose}.{file_id}"
