"""Submit a batch; poll a batch."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.delete_batch import delete_batch
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import StatusAnswer, SubmitAnswer, SubmitRequest
from asr_queue.wire.submits import read_submit
from handlers.access import Limited, Reader, Uploader, Wired
from handlers.changes import MAX_WAIT_S, is_known, wait_for_change
from handlers.examples import STATUS, SUBMIT, SUBMITTED, problems
from handlers.schemas import json_body, link
from handlers.submitting import IdempotencyKey, tell_of_submit

router = APIRouter(prefix="/api/v1/queue", tags=["queue"])


async def submit_request(request: Request, tenant: Reader) -> SubmitRequest:
    """Read the body as JSON, whatever its Content-Type says: clients of the contract need not send one.

    It depends on who is asking, so that nothing is read for nobody.
    """
    del tenant
    return read_submit(await request.body())


@router.post(
    "/submit",
    operation_id="submit",
    summary="Submit a batch",
    response_model=SubmitAnswer,
    responses={
        200: {
            "content": {"application/json": {"example": SUBMITTED}},
            "links": {"status": link("status", batch_id="batch_id")},
        },
        **problems(400, 401, 404, 409, 410, 413, 422, 429, 503),
    },
    openapi_extra=json_body(SubmitRequest, SUBMIT),
)
def submit(
    request: Request,
    response: Response,
    wired: Wired,
    tenant: Reader,
    limits: Limited,
    body: Annotated[SubmitRequest, Depends(submit_request)],
    idempotency_key: IdempotencyKey = None,
) -> SubmitAnswer:
    """Register 1 to 1,000 items and send them to the workers: all of them, or none."""
    pulse = wired.pulses.try_now()
    submitted = submit_batch(
        body,
        tenant=tenant,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        idempotency_key=idempotency_key,
        max_items_waiting=limits.items_waiting,
        trusted_hosts=wired.settings.trusted_hosts,
        operations=wired.settings.operations,
        ahead_items=None if pulse is None else pulse.ahead_of(body.priority),
    )
    tell_of_submit(
        submitted.answer,
        priority=body.priority,
        is_replay=submitted.is_replay,
        unsent=submitted.unsent,
        spoken=submitted.spoken,
        wired=wired,
        request=request,
        response=response,
    )
    return submitted.answer


@router.get(
    "/status/{batch_id}",
    operation_id="status",
    summary="Poll a batch",
    response_model=StatusAnswer,
    responses={
        200: {"content": {"application/json": {"example": STATUS}}},
        304: {"description": "Nothing has happened since the answer that If-None-Match names."},
        **problems(401, 404, 410, 422, 429),
    },
)
async def status(
    request: Request,
    wired: Wired,
    tenant: Reader,
    batch_id: str,
    wait: Annotated[
        int, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a change, if nothing has happened yet.")
    ] = 0,
    if_none_match: Annotated[
        str | None, Header(description="The ETag of an earlier answer: a change is one since then.", max_length=1000)
    ] = None,
) -> Response:
    """Return how far a batch has come, with all its items in the order of the submit.

    With `wait`, the answer comes once something has happened since the answer that If-None-Match names, or, without
    it, since the request came; or when the time is over. What is finished is answered at once.
    """
    request.state.ids["batch_id"] = batch_id

    def look() -> StatusAnswer:
        return batch_status(batch_id, tenant=tenant, table=wired.table, outlook=wired.outlook())

    batch = await wait_for_change(look, request, wait_s=wait, if_none_match=if_none_match)
    headers = {"ETag": batch.etag, "Cache-Control": "private, no-cache"}
    if if_none_match is not None and is_known(batch.etag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(batch.body, media_type="application/json", headers=headers)


@router.delete(
    "/batches/{batch_id}",
    operation_id="delete_batch",
    summary="Delete a batch",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(401, 404, 429, 503),
)
def delete(request: Request, wired: Wired, tenant: Uploader, batch_id: str) -> None:
    """Remove a batch with its transcripts, and give up what of it is unfinished; may be called again.

    Its uploads live on to their own end. This needs a key, wherever others do not.
    """
    request.state.ids["batch_id"] = batch_id
    delete_batch(batch_id, tenant=tenant, store=wired.store, table=wired.table, clock=wired.clock)
