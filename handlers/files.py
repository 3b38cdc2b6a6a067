"""Upload a file; fetch a file."""

import re
import unicodedata
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.datastructures import UploadFile

from asr_queue.domain.files import File as KeptFile
from asr_queue.domain.files import file_id_of
from asr_queue.errors import CallerError
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.complete_upload import complete_upload
from asr_queue.usecases.delete_file import delete_file
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.usecases.presign_upload import presign_upload
from asr_queue.wire.api import PresignAnswer, PresignRequest, UploadAnswer
from asr_queue.wire.formats import Format
from asr_queue.wire.submits import read_presign
from asr_queue.wire.times import iso
from asr_queue.wire.transcript import Transcript
from handlers.access import Limited, Reader, Uploader, Wired
from handlers.answers import ELSEWHERE, INERT, attachment, elsewhere
from handlers.examples import PRESIGN, PRESIGNED, TRANSCRIPT, UPLOADED, problems
from handlers.forms import RECORDING_FORM, recording
from handlers.observability import count
from handlers.schemas import json_body, link

router = APIRouter(prefix="/api/v1/files", tags=["files"])
_MAX_NAME_CHARS: Final = 255
_UNKNOWN_TYPE: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+(;[\x20-\x7e]*)?")
"""What may go into a header of the store's and of a later answer."""
_MAX_TYPE_CHARS: Final = 255
_ONE_ITEM: Final = {"items": [{"operation": "transcribe", "ref_audio": "{$response.body#/file_id}"}]}


async def presign_request(request: Request, tenant: Uploader) -> PresignRequest:
    """Read the body as JSON; it depends on who is asking, so that nothing is read for nobody."""
    del tenant
    return read_presign(await request.body())


@router.post(
    "/upload",
    operation_id="upload",
    summary="Upload a recording",
    response_model=UploadAnswer,
    responses={
        200: {
            "content": {"application/json": {"example": UPLOADED}},
            "links": {
                "fetch": link("fetch", name="file_id"),
                "submit": {"operationId": "submit", "requestBody": _ONE_ITEM},
            },
        },
        **problems(400, 401, 413, 422, 429),
    },
    openapi_extra=RECORDING_FORM,
)
def upload(
    request: Request,
    wired: Wired,
    tenant: Uploader,
    limits: Limited,
    file: Annotated[UploadFile, Depends(recording)],
) -> UploadAnswer:
    """Keep a recording for 30 minutes, and longer while an unfinished item needs it."""
    kept = accept_upload(
        file.file.read(),
        tenant=tenant,
        file_name=checked_name(file.filename or ""),
        content_type=checked_type(file.content_type or ""),
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        max_bytes_stored=limits.bytes_stored,
    )
    count("UploadedBytes", kept.size_bytes)
    return _answer(request, kept)


@router.post(
    "/presign",
    operation_id="presign",
    summary="Upload a large recording straight to the store",
    response_model=PresignAnswer,
    response_model_exclude_none=True,
    responses={
        200: {
            "content": {"application/json": {"example": PRESIGNED}},
            "links": {"complete": link("complete", file_id="file_id")},
        },
        **problems(400, 401, 413, 422, 429),
    },
    openapi_extra=json_body(PresignRequest, PRESIGN),
)
def presign(
    request: Request,
    wired: Wired,
    tenant: Uploader,
    limits: Limited,
    body: Annotated[PresignRequest, Depends(presign_request)],
) -> PresignAnswer:
    """Return addresses that take exactly these bytes for an hour: a form for up to 100 MB, parts for more."""
    answer = presign_upload(
        tenant=tenant,
        file_name=checked_name(body.file_name),
        size_bytes=body.size_bytes,
        content_type=body.content_type,
        presigner=wired.presigner,
        table=wired.table,
        clock=wired.clock,
        max_upload_bytes=wired.settings.max_upload_bytes,
        max_bytes_stored=limits.bytes_stored,
    )
    request.state.ids |= {"file_id": answer.file_id, "size_bytes": body.size_bytes}
    return answer


@router.post(
    "/{file_id}/complete",
    operation_id="complete",
    summary="Say that a presigned upload is done",
    response_model=UploadAnswer,
    responses={200: {"content": {"application/json": {"example": UPLOADED}}}, **problems(401, 404, 409, 410, 422, 429)},
)
def complete(request: Request, wired: Wired, tenant: Uploader, file_id: str) -> UploadAnswer:
    """Check what has come, and keep it for 30 minutes from now; may be called again."""
    kept = complete_upload(
        file_id,
        tenant=tenant,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    return _answer(request, kept)


@router.get(
    "/{name}",
    operation_id="fetch",
    summary="Fetch a transcript, speech, or an upload",
    response_class=Response,
    response_model=Transcript,
    responses={
        200: {
            "description": "A transcript as JSON or in the format asked for, speech as `audio/wav`, `audio/flac` or "
            "`audio/mpeg`, an upload as what it was sent",
            "content": {"application/json": {"example": TRANSCRIPT}, "audio/*": {}, "video/*": {}, _UNKNOWN_TYPE: {}}
            | {form.media_type.partition(";")[0]: {} for form in Format if not form.is_json},
        },
        **ELSEWHERE,
        **problems(401, 404, 409, 410, 422, 429, 503),
    },
)
def fetch(
    request: Request,
    wired: Wired,
    tenant: Reader,
    name: str,
    form: Annotated[
        Format | None,
        Query(alias="format", description="Of a transcript alone, what to render it as; `srt` needs word times"),
    ] = None,
) -> Response:
    """Return a file by the last part of an item's `url`, or an upload by its `file_id`."""
    fetched = fetch_file(
        name,
        tenant=tenant,
        store=wired.store,
        presigner=wired.presigner,
        table=wired.table,
        clock=wired.clock,
        inline_max_bytes=wired.settings.inline_max_bytes,
        form=form,
    )
    request.state.ids["file_id"] = fetched.file.file_id
    if fetched.link is not None:
        return elsewhere(request, fetched.link)
    named = {} if form is None else attachment(fetched.name)
    return Response(fetched.data, headers={**INERT, **named}, media_type=fetched.content_type)


@router.delete(
    "/{name}",
    operation_id="delete_file",
    summary="Delete a file",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(401, 404, 409, 429, 503),
)
def delete(request: Request, wired: Wired, tenant: Uploader, name: str) -> None:
    """Remove a transcript or an upload before its time; may be called again. This needs a key, wherever others do not.

    From then on the file is answered as an expired one.
    """
    request.state.ids["file_id"] = file_id_of(name)
    delete_file(name, tenant=tenant, store=wired.store, table=wired.table, clock=wired.clock)


def _answer(request: Request, kept: KeptFile) -> UploadAnswer:
    request.state.ids |= {"file_id": kept.file_id, "size_bytes": kept.size_bytes}
    return UploadAnswer(file_id=kept.file_id, size_bytes=kept.size_bytes, expires_at=iso(kept.expires_at))


def checked_type(content_type: str) -> str:
    """Return what a client says a file is, or that nobody knows where that cannot be said in a header again."""
    is_one = len(content_type) <= _MAX_TYPE_CHARS and _TYPE.fullmatch(content_type)
    return content_type if is_one else _UNKNOWN_TYPE


def _is_no_name(character: str) -> bool:
    # Spaces of all widths are no printable characters to Python; macOS puts a narrow one into a recording's time.
    return character in "/\\" or not (character.isprintable() or unicodedata.category(character) == "Zs")


def checked_name(name: str) -> str:
    """Return what a client calls a file.

    Raises:
        CallerError: `invalid_file_name`.
    """
    if len(name) > _MAX_NAME_CHARS:
        raise CallerError(
            "invalid_file_name", f"The file name has {len(name)} characters; {_MAX_NAME_CHARS} are the most."
        )
    if name in (".", "..") or any(map(_is_no_name, name)):
        raise CallerError(
            "invalid_file_name",
            f"The file name {name!r} holds a path or control characters; send the bare name, such as 'talk.wav'.",
        )
    return name
