"""Find a named voice, and tell of it."""

from asr_queue.domain.files import File, FileKind
from asr_queue.domain.ids import is_id
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable
from asr_queue.wire.api import VoiceAnswer
from asr_queue.wire.times import iso


def find_voice(voice_id: str, *, tenant: str, table: ItemTable, clock: Clock) -> File:
    """Return a voice that is there.

    Raises:
        CallerError: `voice_not_found`, as `find_voice_or_what_it_was`, and for one that was deleted.
    """
    voice = find_voice_or_what_it_was(voice_id, tenant=tenant, table=table)
    if voice.is_expired(clock.now()):
        raise _not_found(voice_id)
    return voice


def find_voice_or_what_it_was(voice_id: str, *, tenant: str, table: ItemTable) -> File:
    """Return a voice, deleted or not.

    Args:
        voice_id: whatever the client sent.
        tenant: whose voice it must be.

    Raises:
        CallerError: `voice_not_found`, for another tenant's and for any other file too.
    """
    file = table.get_file(voice_id) if is_id(voice_id) else None
    if file is None or file.tenant != tenant or not is_voice(file):
        raise _not_found(voice_id)
    return file


def is_voice(file: File) -> bool:
    """Whether a file is a voice, and no longer in the making."""
    return file.kind is FileKind.VOICE and not file.is_awaited


def voice_answer(voice: File) -> VoiceAnswer:
    """Return what is told of a voice."""
    return VoiceAnswer(
        voice_id=voice.file_id,
        name=voice.file_name,
        said=voice.said,
        size_bytes=voice.size_bytes,
        created_at=iso(voice.created_at),
    )


def _not_found(voice_id: str) -> CallerError:
    return CallerError("voice_not_found", f"There is no voice {voice_id!r}.", http_status=404)
