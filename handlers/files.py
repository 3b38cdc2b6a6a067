"""Upload a file; fetch a file."""

from datetime import UTC
from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Request, Response, UploadFile

from asr_queue.domain.files import FileKind
from asr_queue.errors import CallerError
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.wire.api import UploadAnswer
from asr_queue.wire.transcript import Transcript
from handlers.access import Reader, Uploader, Wired
from handlers.examples import TRANSCRIPT, UPLOADED, problems
from handlers.observability import count

router = APIRouter(prefix="/api/v1/files", tags=["files"])
_MAX_NAME_CHARS: Final = 255
_PLAYABLE: Final = ("audio/", "video/")
_UNKNOWN_TYPE: Final = "application/octet-stream"


@router.post(
    "/upload",
    summary="Upload a recording",
    response_model=UploadAnswer,
    responses={200: {"content": {"application/json": {"example": UPLOADED}}}, **problems(401, 413, 422)},
)
def upload(
    request: Request,
    wired: Wired,
    tenant: Uploader,
    file: Annotated[UploadFile, File(description="Any audio, or the audio track of a video.")],
) -> UploadAnswer:
    """Keep a recording for 30 minutes, and longer while an unfinished item needs it."""
    kept = accept_upload(
        file.file.read(),
        tenant=tenant,
        file_name=_checked_name(file.filename or ""),
        content_type=file.content_type or _UNKNOWN_TYPE,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    request.state.ids |= {"file_id": kept.file_id, "size_bytes": kept.size_bytes}
    count("UploadedBytes", kept.size_bytes)
    expires_at = kept.expires_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return UploadAnswer(file_id=kept.file_id, size_bytes=kept.size_bytes, expires_at=expires_at)


@router.get(
    "/{name}",
    summary="Fetch a transcript, or an upload",
    response_class=Response,
    response_model=Transcript,
    responses={200: {"content": {"application/json": {"example": TRANSCRIPT}}}, **problems(401, 404, 410)},
)
def fetch(request: Request, wired: Wired, tenant: Reader, name: str) -> Response:
    """Return a file by the last part of an item's `url`, or an upload by its `file_id`."""
    file, data = fetch_file(name, tenant=tenant, store=wired.store, table=wired.table, clock=wired.clock)
    request.state.ids["file_id"] = file.file_id
    is_safe = file.kind is FileKind.RESULT or file.content_type.startswith(_PLAYABLE)
    headers: dict[str, Any] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    return Response(data, headers=headers, media_type=file.content_type if is_safe else _UNKNOWN_TYPE)


def _checked_name(name: str) -> str:
    if name in (".", "..") or any(character in "/\\" or not character.isprintable() for character in name):
        raise CallerError(
            "invalid_file_name",
            f"The file name {name!r} holds a path or control characters; send the bare name, such as 'talk.wav'.",
        )
    if len(name) > _MAX_NAME_CHARS:
        raise CallerError(
            "invalid_file_name", f"The file name has {len(name)} characters; {_MAX_NAME_CHARS} are the most."
        )
    return name
