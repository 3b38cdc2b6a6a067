"""What was put straight into the bucket, as S3 tells a queue.

Dropped recordings and manifests become batches; presigned uploads are complete.
"""

import json
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asr_queue.domain.files import presigned_file_id
from asr_queue.errors import CallerError, RetryableError
from asr_queue.usecases.accept_drop import Accepted, accept_drop
from asr_queue.usecases.complete_upload import complete_upload
from handlers.observability import count, logger, poison
from handlers.submitting import note_voices
from handlers.wiring import services

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Serve up to ten messages of S3's; those that failed come again."""
    return process_partial_response(event=event, record_handler=_take_in, processor=_processor, context=context)


def _take_in(record: SQSRecord) -> None:
    try:
        keys = _keys(record.body)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        poison(record.body, "bad_message")
        return
    for key in keys:
        try:
            file_id = presigned_file_id(key)
            if file_id is None:
                _tell(key, _accept(key))
            else:
                _complete(file_id)
        except RetryableError as error:
            logger.warning("service_failed", extra={"code": error.code, "reason": error.message, "key": key})
            raise
        except Exception:
            logger.exception("bug", extra={"key": key})
            raise


def _keys(body: str) -> list[str]:
    """Return the keys that a message of S3's names: none where S3 only tries whether the queue takes messages."""
    notification = json.loads(body)
    if notification.get("Event") == "s3:TestEvent":
        return []
    # Keys are encoded as in a form: a space comes as a plus (S3 guide, "Event message structure").
    return [unquote_plus(record["s3"]["object"]["key"]) for record in notification["Records"]]


def _accept(key: str) -> Accepted:
    wired = services()
    return accept_drop(
        key,
        store=wired.store,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
        max_upload_bytes=wired.settings.max_upload_bytes,
        trusted_hosts=wired.settings.trusted_hosts,
        operations=wired.settings.operations,
    )


def _complete(file_id: str) -> None:
    wired = services()
    try:
        complete_upload(
            file_id,
            tenant=None,
            store=wired.store,
            table=wired.table,
            clock=wired.clock,
            file_ttl_s=wired.settings.file_ttl_s,
        )
    except CallerError as error:
        logger.info("upload_refused", extra={"file_id": file_id, "code": error.code})
    else:
        logger.info("upload_completed", extra={"file_id": file_id})


def _tell(key: str, accepted: Accepted) -> None:
    if accepted.refusal is not None:
        logger.info("drop_refused", extra={"key": key, "code": accepted.refusal.code})
        count("DropsRefused", code=accepted.refusal.code)
    if accepted.submitted is not None:
        answer = accepted.submitted.answer
        ids = {"key": key, "batch_id": answer.batch_id, "items": answer.total_items}
        logger.info("drop_submitted", extra=ids)
        note_voices(accepted.submitted.spoken, ids)
        if not accepted.submitted.is_replay:
            count("ItemsSubmitted", answer.total_items)
        if accepted.submitted.unsent:
            logger.warning("messages_not_sent", extra={**ids, "unsent": accepted.submitted.unsent})
