"""What is there when a run has ended, read past the proxy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from tests.faults.system import System

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_DESERIALIZER = TypeDeserializer()


@dataclass(frozen=True, slots=True)
class BatchRows:
    """A batch as the table has it."""

    meta: dict[str, Any] | None
    """None where there is none; with `state` where its creation has not ended."""
    items: list[dict[str, Any]]

    @property
    def is_visible(self) -> bool:
        return self.meta is not None and "state" not in self.meta


class EndState:
    """Reads table, bucket and queues of a system."""

    def __init__(self, system: System) -> None:
        session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=system.aws["AWS_DEFAULT_REGION"]
        )
        endpoint_url = system.aws["AWS_ENDPOINT_URL"]
        self._resources = system.resources
        self._sqs = session.client("sqs", endpoint_url=endpoint_url)
        self._dynamodb = session.client("dynamodb", endpoint_url=endpoint_url)
        self._s3 = session.client(
            "s3", endpoint_url=endpoint_url, config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
        )

    def poison(self, count: int) -> None:
        """Send messages that name nothing."""
        for _ in range(count):
            self._sqs.send_message(QueueUrl=self._resources.transcribe_queue_url, MessageBody="no message of ours")

    def messages(self) -> dict[str, int]:
        """Return how many messages each queue has, hidden and delayed ones included."""
        urls = {
            "transcribe": self._resources.transcribe_queue_url,
            "transcribe, high": self._resources.transcribe_high_queue_url,
            "transcribe, low": self._resources.transcribe_low_queue_url,
            "voice_clone": self._resources.voice_clone_queue_url,
            "voice_clone, high": self._resources.voice_clone_high_queue_url,
            "voice_clone, low": self._resources.voice_clone_low_queue_url,
            "dead letters": self._resources.dead_letter_queue_url,
        }
        counts = {
            name: self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
            for name, url in urls.items()
        }
        return {name: sum(int(told[count]) for count in _COUNTS) for name, told in counts.items()}

    def batch(self, batch_id: str) -> BatchRows:
        """Return a batch's rows."""
        rows = self._rows(f"BATCH#{batch_id}")
        meta = next((row for row in rows if row["sk"] == "META"), None)
        return BatchRows(meta, [row for row in rows if row is not meta])

    def files(self, file_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of files, by id."""
        return {file_id: row for file_id in file_ids for row in self._rows(f"FILE#{file_id}")}

    def objects(self) -> set[str]:
        """Return the key of every object."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._resources.bucket)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def _rows(self, partition: str) -> list[dict[str, Any]]:
        answer = self._dynamodb.query(
            TableName=self._resources.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition}},
            ConsistentRead=True,
        )
        return [{name: _DESERIALIZER.deserialize(value) for name, value in row.items()} for row in answer["Items"]]
