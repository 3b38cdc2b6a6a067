"""Submit a batch; poll a batch."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.delete_batch import delete_batch
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import StatusAnswer, SubmitAnswer, SubmitRequest
from asr_queue.wire.submits import read_submit
from handlers.access import Limited, Reader, Uploader, Wired
from handlers.examples import STATUS, SUBMIT, SUBMITTED, problems
from handlers.observability import count, logger
from handlers.schemas import json_body, link

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
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Yours to choose, of visible ASCII; a repeated request with it gets the first one's answer.",
            pattern=r"^[\x21-\x7e]{1,255}$",
        ),
    ] = None,
) -> SubmitAnswer:
    """Register 1 to 1,000 items and send them to the workers: all of them, or none."""
    submitted = submit_batch(
        body,
        tenant=tenant,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        idempotency_key=idempotency_key,
        max_items_waiting=limits.items_waiting,
    )
    request.state.ids |= {"batch_id": submitted.answer.batch_id, "items": submitted.answer.total_items}
    if submitted.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    else:
        count("ItemsSubmitted", submitted.answer.total_items)
    if submitted.unsent:
        logger.warning("messages_not_sent", extra={**request.state.ids, "unsent": submitted.unsent})
    return submitted.answer


@router.get(
    "/status/{batch_id}",
    operation_id="status",
    summary="Poll a batch",
    response_model=StatusAnswer,
    responses={200: {"content": {"application/json": {"example": STATUS}}}, **problems(401, 404, 410, 429)},
)
def status(request: Request, wired: Wired, tenant: Reader, batch_id: str) -> StatusAnswer:
    """Return how far a batch has come, with all its items in the order of the submit."""
    request.state.ids["batch_id"] = batch_id
    return batch_status(batch_id, tenant=tenant, table=wired.table)


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
