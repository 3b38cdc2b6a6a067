"""Batches after their submit: list, cancel, retry, download."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator

from asr_queue.domain.batches import BatchStatus
from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.usecases.download_batch import download_batch
from asr_queue.usecases.list_batches import BatchFilter, list_batches
from asr_queue.usecases.retry_batch import retry_batch
from asr_queue.wire.api import MAX_LABEL_CHARS, BatchesAnswer, CancelAnswer, RetryAnswer
from asr_queue.wire.downloads import Archive
from asr_queue.wire.formats import Format
from handlers.access import Limited, Reader, Uploader, Wired
from handlers.answers import ELSEWHERE, handed_out
from handlers.examples import BATCHES, CANCELLED, DOWNLOADED, RETRIED, problems
from handlers.observability import count
from handlers.schemas import link
from handlers.submitting import IdempotencyKey, tell_of_submit

router = APIRouter(prefix="/api/v1/queue/batches", tags=["batches"])
_MAX_CURSOR_CHARS: Final = 400


def _no_number(sent: object) -> object:
    """Pass on what is no number: that would be read as seconds since 1970, of which the description knows nothing."""
    if isinstance(sent, str) and "-" not in sent.lstrip("-"):
        raise ValueError("an instant such as 2026-01-31T12:00:00Z is wanted")
    return sent


_Instant = Annotated[AwareDatetime, BeforeValidator(_no_number)]


@router.get(
    "",
    operation_id="list_batches",
    summary="List batches",
    response_model=BatchesAnswer,
    responses={200: {"content": {"application/json": {"example": BATCHES}}}, **problems(401, 422, 429, 503)},
)
def batches(
    request: Request,
    wired: Wired,
    tenant: Uploader,
    label: Annotated[str | None, Query(max_length=MAX_LABEL_CHARS, description="Exactly this one.")] = None,
    state: Annotated[BatchStatus | None, Query(description="Status of the batch.")] = None,
    created_from: Annotated[_Instant | None, Query(description="Made then or later.")] = None,
    created_to: Annotated[_Instant | None, Query(description="Made before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None, Query(max_length=_MAX_CURSOR_CHARS, description="`next_cursor` of the page before.")
    ] = None,
) -> BatchesAnswer:
    """Return the batches of the key's tenant, newest first, a page at a time.

    A page that a filter makes short may be empty and have a next one all the same: read on until `next_cursor` is null.
    """
    wanted = BatchFilter(label=label, state=state, created_from=created_from, created_to=created_to)
    answer = list_batches(wanted, tenant=tenant, limit=limit, cursor=cursor, listing=wired.listing, table=wired.table)
    request.state.ids["batches"] = len(answer.batches)
    return answer


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancel_batch",
    summary="Cancel a batch",
    response_model=CancelAnswer,
    responses={
        200: {"content": {"application/json": {"example": CANCELLED}}},
        **problems(401, 404, 410, 429, 503),
    },
)
def cancel(request: Request, wired: Wired, tenant: Uploader, batch_id: str) -> CancelAnswer:
    """End every item of a batch that has not ended, as `error` with the code `cancelled`; may be called again.

    What is done stays done. This needs a key, wherever others do not.
    """
    return _cancel(request, wired, tenant, batch_id, None)


@router.post(
    "/{batch_id}/items/{item_id}/cancel",
    operation_id="cancel_item",
    summary="Cancel an item",
    response_model=CancelAnswer,
    responses={
        200: {"content": {"application/json": {"example": CANCELLED | {"cancelled": 1}}}},
        **problems(401, 404, 410, 429, 503),
    },
)
def cancel_one(request: Request, wired: Wired, tenant: Uploader, batch_id: str, item_id: str) -> CancelAnswer:
    """End an item that has not ended, as above; the others of its batch go on."""
    return _cancel(request, wired, tenant, batch_id, item_id)


@router.get(
    "/{batch_id}/download",
    operation_id="download_batch",
    summary="Download a finished batch",
    response_class=Response,
    responses={
        200: {
            "description": "A file or a line an item, in the order of the submit",
            "content": {Archive.ZIP.media_type: {}, Archive.JSONL.media_type: {"example": DOWNLOADED}},
        },
        **ELSEWHERE,
        **problems(401, 404, 409, 410, 422, 429, 503),
    },
)
def download(
    request: Request,
    wired: Wired,
    tenant: Reader,
    batch_id: str,
    form: Annotated[Format, Query(alias="format", description="Of each transcript")] = Format.JSON,
    archive: Annotated[Archive, Query(alias="as", description="Of all of them")] = Archive.ZIP,
) -> Response:
    """Return every result of a finished batch as one file, and of each item that has none, why.

    Speech is a file in a zip archive as it is, and in a line an address, whatever the format of transcripts.
    """
    request.state.ids["batch_id"] = batch_id
    asked = download_batch(
        batch_id,
        tenant=tenant,
        form=form,
        archive=archive,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
    )
    return handed_out(request, asked, wired)


def _cancel(request: Request, wired: Wired, tenant: str, batch_id: str, item_id: str | None) -> CancelAnswer:
    request.state.ids["batch_id"] = batch_id
    cancelled = cancel_items(
        batch_id,
        item_id=item_id,
        tenant=tenant,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        notices=wired.notice_queue,
    )
    request.state.ids["cancelled"] = cancelled
    if cancelled:
        count("ItemsFinished", cancelled, outcome="error", code="cancelled")
    return CancelAnswer(batch_id=batch_id, cancelled=cancelled)


@router.post(
    "/{batch_id}/retry",
    operation_id="retry_batch",
    summary="Retry what has failed of a batch",
    response_model=RetryAnswer,
    responses={
        200: {
            "content": {"application/json": {"example": RETRIED}},
            "links": {"status": link("status", batch_id="batch_id")},
        },
        **problems(401, 404, 409, 410, 422, 429, 503),
    },
)
def retry(
    request: Request,
    response: Response,
    wired: Wired,
    tenant: Uploader,
    limits: Limited,
    batch_id: str,
    idempotency_key: IdempotencyKey = None,
) -> RetryAnswer:
    """Submit a batch's failed items once more, those that were cancelled aside: as a new batch, all of them or none.

    Their uploads are to be there still: 30 minutes from their upload, or to the end of their item. This needs a key,
    wherever others do not.
    """
    request.state.ids["retry_of"] = batch_id
    pulse = wired.pulses.try_now()
    retried = retry_batch(
        batch_id,
        tenant=tenant,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        idempotency_key=idempotency_key,
        max_items_waiting=limits.items_waiting,
        ahead_of=None if pulse is None else pulse.ahead_of,
        trusted_hosts=wired.settings.trusted_hosts,
        operations=wired.settings.operations,
    )
    tell_of_submit(
        retried.answer,
        priority=retried.priority,
        is_replay=retried.is_replay,
        unsent=retried.unsent,
        spoken=retried.spoken,
        wired=wired,
        request=request,
        response=response,
    )
    return retried.answer
