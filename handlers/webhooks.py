"""What was told to callbacks, and with which secret."""

from fastapi import APIRouter, Request, Response

from asr_queue.domain.signatures import Secrets
from asr_queue.usecases.delivery import delivery, replay_delivery
from asr_queue.usecases.webhook_secret import rotate_secret, webhook_secret
from asr_queue.wire.api import DeliveryAnswer, SecretAnswer
from asr_queue.wire.times import iso
from handlers.access import Uploader, Wired
from handlers.examples import DELIVERY, SECRET, problems

router = APIRouter(prefix="/api/v1", tags=["webhooks"])


@router.get(
    "/queue/batches/{batch_id}/delivery",
    operation_id="delivery",
    summary="See how a batch's callback was told",
    response_model=DeliveryAnswer,
    responses={200: {"content": {"application/json": {"example": DELIVERY}}}, **problems(401, 404, 410, 429)},
)
def show(request: Request, wired: Wired, tenant: Uploader, batch_id: str) -> DeliveryAnswer:
    """Return the attempts to tell the `callback_url` of a batch, and when the next one is.

    This needs a key, wherever others do not.
    """
    request.state.ids["batch_id"] = batch_id
    return delivery(batch_id, tenant=tenant, table=wired.table, notices=wired.notices)


@router.post(
    "/queue/batches/{batch_id}/delivery/replay",
    operation_id="replay_delivery",
    summary="Tell a batch's callback again",
    response_model=DeliveryAnswer,
    responses={200: {"content": {"application/json": {"example": DELIVERY}}}, **problems(401, 404, 409, 410, 429, 503)},
)
def replay(request: Request, wired: Wired, tenant: Uploader, batch_id: str) -> DeliveryAnswer:
    """Deliver again from now on, with the same `webhook-id`, whatever came of it before.

    This needs a key, wherever others do not.
    """
    request.state.ids["batch_id"] = batch_id
    return replay_delivery(
        batch_id,
        tenant=tenant,
        table=wired.table,
        notices=wired.notices,
        queue=wired.notice_queue,
        clock=wired.clock,
    )


@router.get(
    "/webhooks/secret",
    operation_id="webhook_secret",
    summary="Get the secret that signs deliveries",
    response_model=SecretAnswer,
    responses={200: {"content": {"application/json": {"example": SECRET}}}, **problems(401, 429, 503)},
)
def secret(wired: Wired, tenant: Uploader, response: Response) -> SecretAnswer:
    """Return the tenant's signing secret; the first call makes it. This needs a key, wherever others do not."""
    return _answer(webhook_secret(tenant, table=wired.notices, clock=wired.clock), response)


@router.post(
    "/webhooks/secret/rotate",
    operation_id="rotate_webhook_secret",
    summary="Change the secret that signs deliveries",
    response_model=SecretAnswer,
    responses={200: {"content": {"application/json": {"example": SECRET}}}, **problems(401, 429, 503)},
)
def rotate(wired: Wired, tenant: Uploader, response: Response) -> SecretAnswer:
    """Make a new secret and return it; the one until now signs too, for 24 hours more.

    This needs a key, wherever others do not.
    """
    return _answer(rotate_secret(tenant, table=wired.notices, clock=wired.clock), response)


def _answer(secrets: Secrets, response: Response) -> SecretAnswer:
    response.headers["Cache-Control"] = "private, no-store"
    return SecretAnswer(secret=secrets.secret, created_at=iso(secrets.created_at))
