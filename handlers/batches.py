"""Batches after their submit: cancel."""

from fastapi import APIRouter, Request

from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.wire.api import CancelAnswer
from handlers.access import Uploader, Wired
from handlers.examples import CANCELLED, problems
from handlers.observability import count

router = APIRouter(prefix="/api/v1/queue/batches", tags=["batches"])


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


def _cancel(request: Request, wired: Wired, tenant: str, batch_id: str, item_id: str | None) -> CancelAnswer:
    request.state.ids["batch_id"] = batch_id
    cancelled = cancel_items(
        batch_id,
        item_id=item_id,
        tenant=tenant,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    request.state.ids["cancelled"] = cancelled
    if cancelled:
        count("ItemsFinished", cancelled, outcome="error", code="cancelled")
    return CancelAnswer(batch_id=batch_id, cancelled=cancelled)
