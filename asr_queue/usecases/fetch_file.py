"""Hand a file out."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Final

from asr_queue.domain.files import File, FileKind, file_id_of
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore, Presigner
from asr_queue.wire.formats import Format, rendered
from asr_queue.wire.transcript import Transcript

LINK_LIFE_S: Final = 60
_PLAYABLE: Final = ("audio/", "video/")
_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file, and its bytes or a link to them."""

    file: File
    content_type: str
    """As which it is handed out: nothing that a browser would run."""
    name: str
    """What it may be called: the client's own name of an upload, as it came."""
    data: bytes | None = None
    link: str | None = None
    """Set exactly where there are no bytes: whoever has it may read the file, for a minute."""


def fetch_file(
    name: str,
    *,
    tenant: str | None,
    store: ObjectStore,
    presigner: Presigner,
    table: ItemTable,
    clock: Clock,
    inline_max_bytes: int | None,
    form: Format | None = None,
) -> Fetched:
    """Return a file with its bytes, or a link to them where they are more than `inline_max_bytes`.

    Args:
        name: the last part of an item's `url`, or a file id.
        tenant: whose files may be seen; None where the id alone is the right to see it.
        inline_max_bytes: the most that an answer can carry; None for any number.
        form: what a transcript is to be rendered as; None for the file as it is.

    Raises:
        CallerError: `file_not_found`, for another tenant's too; `file_expired` from the first instant on, whether
            or not the bytes are gone; `file_not_uploaded` while they are awaited; and of a format, `not_a_transcript`,
            `no_word_times` and `rendition_too_large`.
        RetryableError: the row is there and its bytes are not, as in the instant of an upload.
    """
    file = find_whole_file(name, tenant=tenant, table=table, clock=clock)
    if form is not None and not file.is_transcript:
        raise CallerError("not_a_transcript", f"File {name!r} is no transcript, and comes in no format but its own.")
    if form is not None and form is not Format.JSON:
        return _rendition(file, form, read_file(file, name, store, clock), inline_max_bytes)
    is_safe = file.kind is FileKind.RESULT or file.content_type.startswith(_PLAYABLE)
    content_type = file.content_type if is_safe else _UNKNOWN_TYPE
    if inline_max_bytes is not None and file.size_bytes > inline_max_bytes:
        left_s = int((file.expires_at - clock.now()).total_seconds())
        life_s = LINK_LIFE_S if file.pinned_by else min(LINK_LIFE_S, left_s)
        link = presigner.link(file.object_key, content_type=content_type, life_s=max(1, life_s))
        return Fetched(file=file, content_type=content_type, name=file.file_name, link=link)
    data = read_file(file, name, store, clock)
    return Fetched(file=file, content_type=content_type, name=file.file_name, data=data)


def find_file(name: str, *, tenant: str | None, table: ItemTable, clock: Clock) -> File:
    """Return what is known of a file; its bytes may be awaited.

    Args:
        name: as for `fetch_file`, as `tenant`.

    Raises:
        CallerError: `file_not_found`, `file_expired`, as `fetch_file`.
    """
    file_id = file_id_of(name)
    file = None if file_id is None else table.get_file(file_id)
    if file is None or (file.tenant != tenant if tenant is not None else not file.has_secret_id):
        raise CallerError("file_not_found", f"There is no file {name!r}.", http_status=404)
    _refuse_expired(file, name, clock.now())
    return file


def find_whole_file(name: str, *, tenant: str | None, table: ItemTable, clock: Clock) -> File:
    """Return what is known of a file whose bytes are there.

    Raises:
        CallerError: as `find_file`; `file_not_uploaded`.
    """
    file = find_file(name, tenant=tenant, table=table, clock=clock)
    if file.is_awaited:
        raise CallerError("file_not_uploaded", f"The bytes of file {name!r} have not come.", http_status=409)
    return file


def read_file(file: File, name: str, store: ObjectStore, clock: Clock) -> bytes:
    """Return the bytes of a file.

    Raises:
        CallerError, RetryableError: as `fetch_file`.
    """
    data = store.get(file.object_key)
    # Again: it may have expired, and been removed, while its bytes were read.
    _refuse_expired(file, name, clock.now())
    if data is None:
        raise RetryableError("file_not_stored", f"The bytes of file {name!r} cannot be read right now.")
    return data


def _rendition(file: File, form: Format, stored: bytes, most_bytes: int | None) -> Fetched:
    data = rendered(Transcript.model_validate_json(stored), form).encode()
    if most_bytes is not None and len(data) > most_bytes:
        raise CallerError(
            "rendition_too_large",
            f"As {form} it has {len(data)} bytes, and an answer has {most_bytes} at most; fetch it without a format.",
        )
    return Fetched(file=file, content_type=form.media_type, name=PurePath(file.file_name).stem + form.suffix, data=data)


def _refuse_expired(file: File, name: str, now: datetime) -> None:
    if file.is_expired(now):
        raise CallerError(
            "file_expired",
            f"File {name!r} expired at {file.expires_at.isoformat()}; uploads and results live for a limited time.",
            http_status=410,
        )
