"""Files as OpenAI's clients know them: uploads by another name, and what batches made."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.datastructures import UploadFile

from asr_queue.domain.files import File, FileKind
from asr_queue.domain.listed_files import ListedKey
from asr_queue.errors import CallerError
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.delete_file import delete_file
from asr_queue.usecases.download_batch import Download
from asr_queue.usecases.fetch_file import fetch_file, find_file
from asr_queue.usecases.lines_batch import MadeFile, find_made, lines_of
from asr_queue.usecases.list_uploads import list_uploads
from asr_queue.wire.openai import MAX_ID_CHARS, FileDeleted, FileList, FileObject, Purpose
from handlers.access import Wired
from handlers.answers import ELSEWHERE, INERT, elsewhere, handed_out
from handlers.files import checked_name, checked_type
from handlers.forms import multipart, only_file
from handlers.observability import count
from handlers.openai.access import Limited, Tenant
from handlers.openai.errors import errors
from handlers.openai.examples import FILE, FILE_FORM
from handlers.schemas import link
from handlers.wiring import Services

router = APIRouter(prefix="/v1/files", tags=["openai"])
_MOST_FIELDS: Final = 10
_LINES: Final = "application/jsonl"
_BATCH_OUTPUT: Final = "batch_output"
_MOST_FILES: Final = 10_000
"""On a page, as OpenAI has it."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A file, and what it is for."""

    file: UploadFile
    purpose: str


async def file_form(request: Request, tenant: Tenant) -> AsyncIterator[_Form]:
    """Read the form; it depends on who is asking, so that nothing is read for nobody."""
    del tenant
    async with multipart(request, most_fields=_MOST_FIELDS) as form:
        file, purpose = only_file(form), form.get("purpose")
        if purpose not in get_args(Purpose):
            raise CallerError("invalid_request", f"purpose: one of {', '.join(get_args(Purpose))} is needed")
        yield _Form(file, str(purpose))


@router.post(
    "",
    operation_id="openai_create_file",
    summary="Upload a recording, or the lines of a batch",
    response_model=FileObject,
    responses={
        200: {
            "content": {"application/json": {"example": FILE}},
            "links": {"content": link("openai_file_content", file_id="id")},
        },
        **errors(400, 401, 413, 422, 429, 503),
    },
    openapi_extra=FILE_FORM,
)
def create(
    request: Request, wired: Wired, tenant: Tenant, limits: Limited, form: Annotated[_Form, Depends(file_form)]
) -> FileObject:
    """Keep a file for 30 minutes, and longer while an unfinished item needs it."""
    kept = accept_upload(
        form.file.file.read(),
        tenant=tenant,
        file_name=checked_name(form.file.filename or ""),
        content_type=checked_type(form.file.content_type or ""),
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        max_bytes_stored=limits.bytes_stored,
        purpose=form.purpose,
    )
    request.state.ids |= {"file_id": kept.file_id, "size_bytes": kept.size_bytes}
    count("UploadedBytes", kept.size_bytes)
    return _described(kept)


@router.get(
    "",
    operation_id="openai_list_files",
    summary="List files",
    response_model=FileList,
    responses=errors(401, 404, 422, 429, 503),
)
def list_(
    wired: Wired,
    tenant: Tenant,
    purpose: Purpose | None = None,
    after: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_FILES)] = _MOST_FILES,
    order: Literal["asc", "desc"] = "desc",
) -> FileList:
    """Return the files that were made here and have not expired; those of batches are named by their batches."""
    page = list_uploads(
        tenant=tenant,
        purpose=purpose,
        after=after,
        limit=limit,
        order=order,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
    )
    data = [_described(file) for file in page.files]
    return FileList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


@router.get(
    "/{file_id}",
    operation_id="openai_retrieve_file",
    summary="Look at a file",
    response_model=FileObject,
    responses={
        200: {"content": {"application/json": {"example": FILE}}},
        **errors(401, 404, 410, 429, 503),
    },
)
def retrieve(request: Request, wired: Wired, tenant: Tenant, file_id: str) -> FileObject:
    """Return what is known of a file."""
    made = _made(file_id, tenant, wired)
    if made is not None:
        return _made_described(made, wired)
    file = find_file(file_id, tenant=tenant, table=wired.table, clock=wired.clock)
    request.state.ids["file_id"] = file.file_id
    return _described(file)


@router.get(
    "/{file_id}/content",
    operation_id="openai_file_content",
    summary="Fetch a file",
    response_class=Response,
    responses={
        200: {"content": {"application/jsonl": {}, "audio/*": {}, "application/octet-stream": {}}},
        **ELSEWHERE,
        **errors(401, 404, 409, 410, 429, 503),
    },
)
def content(request: Request, wired: Wired, tenant: Tenant, file_id: str) -> Response:
    """Return the bytes of a file; one that a batch makes is made now."""
    made = _made(file_id, tenant, wired)
    if made is not None:
        chunks = lines_of(made, store=wired.store, table=wired.table, clock=wired.clock)
        download = Download(batch=made.of.batch, name=_made_name(made), media_type=_LINES, chunks=chunks)
        return handed_out(request, download, wired)
    fetched = fetch_file(
        file_id,
        tenant=tenant,
        store=wired.store,
        presigner=wired.presigner,
        table=wired.table,
        clock=wired.clock,
        inline_max_bytes=wired.settings.inline_max_bytes,
    )
    request.state.ids["file_id"] = fetched.file.file_id
    if fetched.link is not None:
        return elsewhere(request, fetched.link)
    return Response(fetched.data, headers=INERT, media_type=fetched.content_type)


@router.delete(
    "/{file_id}",
    operation_id="openai_delete_file",
    summary="Delete a file",
    response_model=FileDeleted,
    responses=errors(401, 404, 409, 422, 429, 503),
)
def delete(request: Request, wired: Wired, tenant: Tenant, file_id: str) -> FileDeleted:
    """Remove a file before its time; may be called again."""
    request.state.ids["file_id"] = file_id
    if _made(file_id, tenant, wired) is not None:
        raise CallerError(
            "file_of_a_batch",
            f"File {file_id!r} is made of its batch when it is read; delete that, and all of it goes.",
        )
    delete_file(file_id, tenant=tenant, store=wired.store, table=wired.table, clock=wired.clock)
    return FileDeleted(id=file_id)


def _made(file_id: str, tenant: str, wired: Services) -> MadeFile | None:
    return find_made(
        file_id,
        tenant=tenant,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )


def _made_name(file: MadeFile) -> str:
    return f"{file.of.batch.batch_id}_{file.made}.jsonl"


def _made_described(file: MadeFile, wired: Services) -> FileObject:
    size_bytes = sum(map(len, lines_of(file, store=wired.store, table=wired.table, clock=wired.clock)))
    ended_at, expires_at = file.of.ended_at, file.of.expires_at
    if ended_at is None or expires_at is None:
        raise ValueError(f"the batch of {file.file_id} has not ended")
    return FileObject(
        id=file.file_id,
        bytes=size_bytes,
        created_at=int(ended_at.timestamp()),
        expires_at=int(expires_at.timestamp()),
        filename=_made_name(file),
        purpose=_BATCH_OUTPUT,
    )


def _described(file: File) -> FileObject:
    key = ListedKey.of(file.object_key) if file.kind is FileKind.UPLOAD else None
    purpose = _BATCH_OUTPUT if file.kind is FileKind.RESULT else "user_data"
    return FileObject(
        id=file.file_id,
        bytes=file.size_bytes,
        created_at=int(file.created_at.timestamp()),
        expires_at=int(file.expires_at.timestamp()),
        filename=file.file_name,
        purpose=purpose if key is None else key.purpose,
        status="uploaded" if file.is_awaited else "processed",
    )
