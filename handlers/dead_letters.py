"""A message that was received too often: its item ends in error."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asr_queue.errors import PoisonError
from asr_queue.usecases.fail_dead_letter import fail_dead_letter
from asr_queue.wire.messages import ItemMessage
from handlers.observability import count, logger, poison
from handlers.wiring import services

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Serve up to ten dead letters; those that failed stay in the queue."""
    return process_partial_response(event=event, record_handler=_end_item, processor=_processor, context=context)


def _end_item(record: SQSRecord) -> None:
    try:
        message = ItemMessage.parse(record.body)
    except PoisonError as error:
        poison(record.body, error.code)
        return
    wired = services()
    item = fail_dead_letter(
        message,
        table=wired.table,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        notices=wired.notice_queue,
    )
    ids = {"batch_id": message.batch_id, "item_id": message.item_id}
    if item is None:
        logger.info("dead_letter_of_final_item", extra=ids)
        return
    logger.warning("item_given_up", extra={**ids, "attempt": item.attempt})
    count("ItemsFinished", outcome="error", code="too_many_attempts")
