"""Messages that name finished batches, in SQS."""

from typing import Any

from asr_queue.adapters.aws_errors import translated
from asr_queue.adapters.sqs import group_of
from asr_queue.wire.messages import NoticeMessage


class SqsNoticeQueue:
    """NoticeQueue over one standard queue."""

    def __init__(self, client: Any, queue_url: str) -> None:
        """Take a boto3 SQS client and a queue's URL."""
        self._client = client
        self._queue_url = queue_url

    def send(self, batch_id: str, *, tenant: str, delay_s: int = 0) -> None:
        """Send a message; tenants share the queue fairly, so that one's slow receivers do not hold up another's."""
        with translated("sqs"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=NoticeMessage(batch_id=batch_id).model_dump_json(),
                MessageGroupId=group_of(tenant),
                DelaySeconds=delay_s,
            )
