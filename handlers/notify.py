"""A batch is finished: the event bus and its callback are told."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asr_queue.adapters.aws import connect_events
from asr_queue.adapters.webhooks import HttpWebhookCaller
from asr_queue.domain.notices import DeliveryState, Notice
from asr_queue.errors import PoisonError, RetryableError
from asr_queue.ports import EventBus, WebhookCaller
from asr_queue.usecases.announce_batch import announce_batch
from asr_queue.wire.messages import NoticeMessage
from handlers.observability import count, logger, poison
from handlers.wiring import services

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Who is told."""

    events: EventBus
    caller: WebhookCaller


@cache
def outside() -> Outside:
    """Return the ways out of this process."""
    settings = services().settings
    return Outside(events=connect_events(settings.event_bus), caller=HttpWebhookCaller(trusted=settings.trusted_hosts))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Serve messages that name finished batches; those that failed come again."""
    return process_partial_response(event=event, record_handler=_tell, processor=_processor, context=context)


def _tell(record: SQSRecord) -> None:
    try:
        message = NoticeMessage.parse(record.body)
    except PoisonError as error:
        poison(record.body, error.code)
        return
    wired, out = services(), outside()
    try:
        notice = announce_batch(
            message.batch_id,
            table=wired.notices,
            queue=wired.notice_queue,
            events=out.events,
            caller=out.caller,
            clock=wired.clock,
            backoff_s=wired.settings.backoff_s,
        )
    except RetryableError as error:
        extra = {"code": error.code, "reason": error.message, "batch_id": message.batch_id}
        logger.warning("service_failed", extra=extra)
        raise
    except Exception:
        logger.exception("bug", extra={"batch_id": message.batch_id})
        raise
    if notice is not None:
        _log(notice)


def _log(notice: Notice) -> None:
    ids = {"batch_id": notice.batch_id, "tenant": notice.tenant}
    if notice.callback_url is None or not notice.attempts:
        logger.info("batch_announced", extra=ids)
        return
    last = notice.attempts[-1]
    # Not the URL, which may hold what opens a door.
    told = ids | {"state": notice.state, "status": last.status, "reason": last.error, "tries": len(notice.attempts)}
    logger.info("batch_announced", extra=told | {"duration_s": last.duration_s})
    count("Deliveries", outcome="accepted" if last.is_accepted else "refused")
    if notice.state is DeliveryState.GIVEN_UP:
        logger.warning("delivery_given_up", extra=told)
        count("DeliveriesGivenUp")
