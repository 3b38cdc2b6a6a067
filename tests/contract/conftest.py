"""Each port twice: the fake, and AWS as the emulator has it."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import boto3
import pytest

from asr_queue.adapters.aws import connect
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.sqs import SqsWorkQueue
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import ItemTable, ObjectStore, WorkQueue
from asr_queue.settings import ResourceSettings
from tests.conftest import EmbeddedAws

VISIBILITY_TIMEOUT_S = 2
MAX_RECEIVES = 3


@pytest.fixture(params=["fake", "emulator"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _settings(aws: EmbeddedAws) -> ResourceSettings:
    return ResourceSettings(
        bucket=aws.environment["ASR_QUEUE_BUCKET"],
        table=aws.environment["ASR_QUEUE_TABLE"],
        transcribe_queue_url=aws.environment["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
    )


def _client(aws: EmbeddedAws, service: str):
    return boto3.client(
        service,
        endpoint_url=aws.environment["AWS_ENDPOINT_URL"],
        region_name=aws.environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> ObjectStore:
    if kind == "fake":
        return MemoryStore()
    aws = request.getfixturevalue("embedded_aws")
    return connect(_settings(aws), environment=aws.environment).store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now() - timedelta(days=365))


@pytest.fixture
def table(kind: str, clock: ManualClock, request: pytest.FixtureRequest) -> ItemTable:
    if kind == "fake":
        return MemoryTable(clock)
    aws = request.getfixturevalue("embedded_aws")
    return DynamoItemTable(
        _client(aws, "dynamodb"), aws.environment["ASR_QUEUE_TABLE"], clock=clock, row_retention_s=86_400
    )


@pytest.fixture
def queue(kind: str, request: pytest.FixtureRequest) -> Iterator[WorkQueue]:
    if kind == "fake":
        yield MemoryQueue(SystemClock(), visibility_timeout_s=VISIBILITY_TIMEOUT_S, max_receives=MAX_RECEIVES)
        return
    # A queue of the test's own, with short times; the template's has those of production.
    client = _client(request.getfixturevalue("embedded_aws"), "sqs")
    url = client.create_queue(
        QueueName=f"contract-{uuid4()}", Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT_S)}
    )["QueueUrl"]
    yield SqsWorkQueue(client, url)
    client.delete_queue(QueueUrl=url)
