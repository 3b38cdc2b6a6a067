"""The voices of a tenant, newest first, a page at a time."""

import re
from typing import Final

from asr_queue.domain.ids import ID
from asr_queue.domain.listed_files import ListedKey, listed_prefix
from asr_queue.domain.voices import VOICE, voices_prefix
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore
from asr_queue.usecases.find_voice import is_voice, voice_answer
from asr_queue.wire.api import VoicesAnswer

_CURSOR: Final = re.compile(rf"([0-9]{{13}})\.({ID})")
"""The place of the last voice before: it may have been deleted since."""


def list_voices(
    *, tenant: str, limit: int, cursor: str | None, store: ObjectStore, table: ItemTable, clock: Clock
) -> VoicesAnswer:
    """Return up to `limit` voices, newest first, and what leads to the next page, None where there is none.

    Args:
        tenant: whose; a cursor leads nowhere but among these.
        limit: at least 1.
        cursor: `next_cursor` of the page before; None for the first.

    Raises:
        CallerError: `invalid_cursor`.
    """
    names = store.list_keys(listed_prefix(voices_prefix(tenant)))
    keys = sorted((key for name in names if (key := ListedKey.of(name)) is not None), reverse=True)
    if cursor is not None:
        last = _read_cursor(cursor)
        keys = [key for key in keys if key < last]
    page = keys[:limit]
    known = table.get_files([key.file_id for key in page])
    files = [known[key.file_id] for key in page if key.file_id in known]
    now = clock.now()
    return VoicesAnswer(
        voices=[voice_answer(file) for file in files if is_voice(file) and not file.is_expired(now)],
        next_cursor=_cursor(page[-1]) if len(keys) > limit else None,
    )


def _cursor(key: ListedKey) -> str:
    return f"{key.created_ms:013}.{key.file_id}"


def _read_cursor(cursor: str) -> ListedKey:
    matched = _CURSOR.fullmatch(cursor)
    if matched is None:
        raise CallerError("invalid_cursor", "The cursor is none that this list has given; begin without one.")
    return ListedKey(int(matched[1]), matched[2], VOICE)
