"""Take note that the bytes of a presigned upload have come: the client says so, or the store does."""

from dataclasses import replace
from datetime import timedelta

from asr_queue.domain.files import File
from asr_queue.domain.ids import is_id
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore


def complete_upload(
    file_id: str, *, tenant: str | None, store: ObjectStore, table: ItemTable, clock: Clock, file_ttl_s: int
) -> File:
    """Make an awaited file usable for `file_ttl_s` seconds from now; doing it again changes nothing.

    Args:
        file_id: whatever the client sent.
        tenant: whose file it must be; None where the store itself told of it.

    Raises:
        CallerError: `file_not_found`, for another tenant's too; `file_not_uploaded` while bytes are missing;
            `file_expired` where they came too late; `upload_mismatch` where they are not what was agreed.
    """
    file = table.get_file(file_id) if is_id(file_id) else None
    if file is None or (tenant is not None and file.tenant != tenant):
        raise CallerError("file_not_found", f"There is no file {file_id!r}.", http_status=404)
    _refuse_expired(file, clock)
    if not file.is_awaited:
        return file
    _check_bytes(file, store)
    completed = replace(file, is_awaited=False, parts_id=None, expires_at=clock.now() + timedelta(seconds=file_ttl_s))
    if table.complete_file(completed):
        return completed
    now_known = table.get_file(file_id)  # somebody else completed it, or the sweep gave it up
    if now_known is None or now_known.is_awaited:
        raise _expired(file)
    return now_known


def _check_bytes(file: File, store: ObjectStore) -> None:
    """Raise unless the object is there as agreed; make it of its parts if need be."""
    found = store.head(file.object_key)
    have_bytes: int | None = 0
    if found is None and file.parts_id is not None:
        have_bytes = store.join_parts(file.object_key, file.parts_id, size_bytes=file.size_bytes)
        found = store.head(file.object_key)
    if found is None:
        raise CallerError(
            "file_not_uploaded",
            f"{have_bytes or 0} of {file.size_bytes} bytes of file {file.file_id} have come; send them to the "
            f"presigned address, then complete it.",
            http_status=409,
        )
    if (found.size_bytes, found.content_type) != (file.size_bytes, file.content_type):
        raise CallerError(
            "upload_mismatch",
            f"File {file.file_id} was to have {file.size_bytes} bytes of {file.content_type}, and has "
            f"{found.size_bytes} of {found.content_type}; presign it anew.",
        )


def _refuse_expired(file: File, clock: Clock) -> None:
    if file.is_expired(clock.now()):
        raise _expired(file)


def _expired(file: File) -> CallerError:
    return CallerError(
        "file_expired",
        f"File {file.file_id} expired at {file.expires_at.isoformat()}; upload it again.",
        http_status=410,
    )
