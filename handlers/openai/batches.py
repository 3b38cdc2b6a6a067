"""Batches as OpenAI's clients know them: lines of a file, on the same queue."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from asr_queue.errors import CallerError
from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.usecases.lines_batch import described, load_lines
from asr_queue.usecases.list_lines import list_lines
from asr_queue.usecases.submit_lines import Access, submit_lines
from asr_queue.wire.openai import MAX_ID_CHARS, BatchList, BatchObject, BatchRequest
from asr_queue.wire.openai_requests import read_batch, read_lines
from asr_queue.wire.submits import MAX_BODY_BYTES
from handlers.access import Wired
from handlers.observability import count, logger
from handlers.openai.access import Limited, Tenant
from handlers.openai.errors import errors
from handlers.openai.examples import BATCH, BATCH_REQUEST
from handlers.schemas import json_body, link
from handlers.wiring import Services

router = APIRouter(prefix="/v1/batches", tags=["openai"])


async def batch_request(request: Request, tenant: Tenant) -> BatchRequest:
    """Read the body as JSON; it depends on who is asking, so that nothing is read for nobody."""
    del tenant
    return read_batch(await request.body())


@router.post(
    "",
    operation_id="openai_create_batch",
    summary="Submit the lines of a file",
    response_model=BatchObject,
    responses={
        200: {
            "content": {"application/json": {"example": BATCH}},
            "links": {"retrieve": link("openai_retrieve_batch", batch_id="id")},
        },
        **errors(400, 401, 404, 409, 410, 413, 422, 429, 503),
    },
    openapi_extra=json_body(BatchRequest, BATCH_REQUEST),
)
def create(
    request: Request,
    wired: Wired,
    tenant: Tenant,
    limits: Limited,
    body: Annotated[BatchRequest, Depends(batch_request)],
) -> BatchObject:
    """Put up to 1,000 lines on the queue; one that cannot be done stands among the errors, and the others go on."""
    lines = read_lines(_input(body.input_file_id, tenant, wired))
    access = Access(
        tenant=tenant,
        limits=limits,
        host=request.url.netloc,
        store=wired.store,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        max_upload_bytes=wired.settings.max_upload_bytes,
    )
    submitted = submit_lines(body, lines, access)
    batch_id = submitted.answer.batch_id
    request.state.ids |= {"batch_id": batch_id, "items": submitted.answer.total_items, "lines": len(lines)}
    count("ItemsSubmitted", submitted.answer.total_items)
    if submitted.unsent:
        logger.warning("messages_not_sent", extra={**request.state.ids, "unsent": submitted.unsent})
    return _described(batch_id, tenant, wired)


@router.get(
    "",
    operation_id="openai_list_batches",
    summary="List batches",
    response_model=BatchList,
    responses=errors(401, 404, 422, 429, 503),
)
def list_(
    wired: Wired,
    tenant: Tenant,
    after: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    """Return the batches of lines that have not expired, newest first; others are in the native list."""
    found, has_more = list_lines(
        tenant=tenant,
        after=after,
        limit=limit,
        listing=wired.listing,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    data = [described(one) for one in found]
    return BatchList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=has_more,
    )


@router.get(
    "/{batch_id}",
    operation_id="openai_retrieve_batch",
    summary="Look at a batch",
    response_model=BatchObject,
    responses={
        200: {"content": {"application/json": {"example": BATCH}}},
        **errors(401, 404, 410, 429, 503),
    },
)
def retrieve(request: Request, wired: Wired, tenant: Tenant, batch_id: str) -> BatchObject:
    """Return how far a batch has come; once it has ended, it names its files."""
    request.state.ids["batch_id"] = batch_id
    return _described(batch_id, tenant, wired)


@router.post(
    "/{batch_id}/cancel",
    operation_id="openai_cancel_batch",
    summary="Cancel a batch",
    response_model=BatchObject,
    responses={
        200: {"content": {"application/json": {"example": BATCH}}},
        **errors(401, 404, 410, 429, 503),
    },
)
def cancel(request: Request, wired: Wired, tenant: Tenant, batch_id: str) -> BatchObject:
    """End what has not ended; what is done stays done. May be called again."""
    request.state.ids["batch_id"] = batch_id
    _described(batch_id, tenant, wired)  # one that was not made of lines is not known here
    cancelled = cancel_items(
        batch_id,
        tenant=tenant,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        notices=wired.notice_queue,
    )
    if cancelled:
        count("ItemsFinished", cancelled, outcome="error", code="cancelled")
    return _described(batch_id, tenant, wired)


def _input(file_id: str, tenant: str, wired: Services) -> bytes:
    fetched = fetch_file(
        file_id,
        tenant=tenant,
        store=wired.store,
        presigner=wired.presigner,
        table=wired.table,
        clock=wired.clock,
        inline_max_bytes=MAX_BODY_BYTES,
    )
    if fetched.data is None:
        raise CallerError(
            "payload_too_large",
            f"input_file_id: {fetched.file.size_bytes} bytes; lines have {MAX_BODY_BYTES} together at most.",
            http_status=413,
        )
    return fetched.data


def _described(batch_id: str, tenant: str, wired: Services) -> BatchObject:
    found = load_lines(
        batch_id,
        tenant=tenant,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    return described(found)
