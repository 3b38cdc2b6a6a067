"""How far the delivery of a batch's end to its callback has come, and having it delivered again."""

from contextlib import suppress

from asr_queue.domain.batches import Batch
from asr_queue.domain.notices import Attempt, DeliveryState, Notice, webhook_id
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, NoticeQueue, NoticeTable
from asr_queue.usecases.visible_batch import visible_batch
from asr_queue.wire.api import AttemptAnswer, DeliveryAnswer
from asr_queue.wire.times import iso, iso_or_none


def delivery(batch_id: str, *, tenant: str, table: ItemTable, notices: NoticeTable) -> DeliveryAnswer:
    """Return what was tried so far, and what will be.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`; `no_callback`.
    """
    batch = _batch(batch_id, tenant, table)
    return _answer(batch, notices.get_notice(batch_id))


def replay_delivery(
    batch_id: str,
    *,
    tenant: str,
    table: ItemTable,
    notices: NoticeTable,
    queue: NoticeQueue | None,
    clock: Clock,
) -> DeliveryAnswer:
    """Deliver again, whatever came of it before, and return how that stands; an attempt under way is left to its end.

    Raises:
        CallerError: as above; `batch_not_finished`.
    """
    batch = _batch(batch_id, tenant, table)
    notice = notices.replay_notice(batch_id, now=clock.now())
    if notice is None:
        raise CallerError(
            "batch_not_finished",
            f"Batch {batch_id!r} is not finished, so nothing is to be told of it yet.",
            http_status=409,
        )
    if queue is not None and notice.claim is None:
        with suppress(RetryableError):  # it is due; the sweep finds it
            queue.send(batch_id, tenant=tenant)
    return _answer(batch, notice)


def _batch(batch_id: str, tenant: str, table: ItemTable) -> Batch:
    batch, _ = visible_batch(batch_id, tenant=tenant, table=table)
    if batch.callback_url is None:
        raise CallerError("no_callback", f"Batch {batch_id!r} was submitted without a callback_url.", http_status=404)
    return batch


def _answer(batch: Batch, notice: Notice | None) -> DeliveryAnswer:
    next_at = notice.next_attempt_at if notice is not None and notice.is_to_deliver else None
    return DeliveryAnswer(
        webhook_id=webhook_id(batch.batch_id),
        callback_url=batch.callback_url or "",
        state=DeliveryState.PENDING if notice is None else notice.state,
        attempts=[] if notice is None else [_attempt(attempt) for attempt in notice.attempts],
        next_attempt_at=iso_or_none(next_at),
    )


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(at=iso(attempt.at), status=attempt.status, error=attempt.error, duration_s=attempt.duration_s)
