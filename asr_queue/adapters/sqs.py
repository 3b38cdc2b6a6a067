"""Messages in SQS."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from asr_queue.adapters.aws_errors import translated
from asr_queue.domain.batches import Priority
from asr_queue.errors import RetryableError
from asr_queue.ports import Backlog, Delivery
from asr_queue.wire.messages import ItemMessage

_AT_ONCE: Final = 10
"""Entries of one batch call, and messages of one receive (SQS quotas)."""
_PARALLEL_CALLS: Final = 8

T = TypeVar("T")


class SqsWorkQueue:
    """WorkQueue over one standard queue."""

    def __init__(self, client: Any, queue_url: str) -> None:
        """Take a boto3 SQS client, whose read timeout is longer than any `wait_s`, and a queue's URL."""
        self._client = client
        self._queue_url = queue_url

    def send(
        self, messages: Sequence[ItemMessage], *, tenant: str, priority: Priority = Priority.NORMAL
    ) -> list[ItemMessage]:
        """Send messages of a tenant, ten a call; return those that were refused. To one queue all are alike."""
        del priority
        return _refused(partial(self._send_ten, group_of(tenant)), messages)

    def receive(self, *, max_messages: int, wait_s: int) -> list[Delivery]:
        """Receive up to `max_messages` (1 to 10)."""
        with translated("sqs"):
            answer = self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=max_messages,
                WaitTimeSeconds=wait_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [
            Delivery(
                body=message["Body"],
                receipt_handle=message["ReceiptHandle"],
                receive_count=int(message["Attributes"]["ApproximateReceiveCount"]),
                sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            )
            for message in answer.get("Messages", [])
        ]

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now; return the handles that failed."""

        def extend_ten(handles: Sequence[str]) -> Mapping[str, Any]:
            entries = [
                {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": visibility_s}
                for i, handle in enumerate(handles)
            ]
            answer: Mapping[str, Any] = self._client.change_message_visibility_batch(
                QueueUrl=self._queue_url, Entries=entries
            )
            return answer

        return _refused(extend_ten, receipt_handles)

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed."""
        return _refused(self._delete_ten, receipt_handles)

    def backlog(self) -> Backlog:
        """Count what waits and what is out."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with translated("sqs"):
            answer = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)
        visible, in_flight = (int(answer["Attributes"][name]) for name in names)
        return Backlog(visible=visible, in_flight=in_flight)

    def backlogs(self) -> dict[Priority, Backlog]:
        """Count the same: one queue is one lane."""
        return {Priority.NORMAL: self.backlog()}

    def _send_ten(self, group_id: str, messages: Sequence[ItemMessage]) -> Mapping[str, Any]:
        entries = [
            {"Id": str(i), "MessageBody": message.model_dump_json(), "MessageGroupId": group_id}
            for i, message in enumerate(messages)
        ]
        answer: Mapping[str, Any] = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        return answer

    def _delete_ten(self, handles: Sequence[str]) -> Mapping[str, Any]:
        entries = [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(handles)]
        answer: Mapping[str, Any] = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        return answer


def group_of(tenant: str) -> str:
    """Return the group of a tenant's messages: on a standard queue what SQS is fair between ("fair queues").

    A hash, since a group's name may not hold everything that a tenant's may.
    """
    return hashlib.sha256(tenant.encode()).hexdigest()


def _refused(call: Callable[[Sequence[T]], Mapping[str, Any]], values: Sequence[T]) -> list[T]:
    """Make a batch call for each ten values, several at once; return the values that SQS refused.

    A call that fails as a whole refuses its ten, unless all do.
    """
    groups = list(_tens(values))
    if len(groups) <= 1:
        return [value for group in groups for value in _refused_of_ten(call, group)]
    with ThreadPoolExecutor(min(_PARALLEL_CALLS, len(groups))) as pool:
        futures = [pool.submit(_refused_of_ten, call, group) for group in groups]
    refused: list[T] = []
    failures: list[RetryableError] = []
    for group, future in zip(groups, futures, strict=True):
        try:
            refused += future.result()
        except RetryableError as error:
            failures.append(error)
            refused += group
    if len(failures) == len(groups):
        raise failures[0]
    return refused


def _refused_of_ten(call: Callable[[Sequence[T]], Mapping[str, Any]], values: Sequence[T]) -> list[T]:
    with translated("sqs"):
        answer = call(values)
    return [values[int(entry["Id"])] for entry in answer.get("Failed", [])]


def _tens(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
