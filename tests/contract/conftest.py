"""Each port three times: the fake, and AWS as two emulators have it that know nothing of each other."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import timedelta
from uuid import uuid4

import boto3
import pytest

from asr_queue.adapters.aws import connect
from asr_queue.adapters.dynamodb.listing import DynamoBatchListing
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.dynamodb.workers import DynamoWorkerRegistry
from asr_queue.adapters.lanes import LaneQueue
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_listing import MemoryBatchListing
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.adapters.sqs import SqsWorkQueue
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.batches import Priority
from asr_queue.ports import BatchListing, ItemTable, ObjectStore, WorkerRegistry, WorkQueue
from asr_queue.settings import ResourceSettings
from tests.contract import second_aws

VISIBILITY_TIMEOUT_S = 4
MAX_RECEIVES = 3
MANY = 120
"""Items of a batch that needs more than one transaction."""


@pytest.fixture(params=["fake", "emulator", "moto"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "moto" and request.node.callspec.params.get("count") == MANY:
        pytest.skip("moto takes seconds for each; a batch of 130 and one of 1,000 go through it all the same")
    return str(request.param)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The second emulator, for the session: what leads boto3 to it."""
    with second_aws.running(tmp_path_factory.mktemp("moto")) as variables:
        yield variables


def _emulator(kind: str, request: pytest.FixtureRequest) -> Mapping[str, str]:
    return request.getfixturevalue("moto") if kind == "moto" else request.getfixturevalue("embedded_aws").environment


def _client(aws: Mapping[str, str], service: str):
    return boto3.client(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> ObjectStore:
    if kind == "fake":
        return MemoryStore()
    aws = _emulator(kind, request)
    bucket = aws.get("ASR_QUEUE_BUCKET") or f"contract-{uuid4()}"
    if kind == "moto":
        _client(aws, "s3").create_bucket(Bucket=bucket)
    settings = ResourceSettings(bucket=bucket, table="-", transcribe_queue_url="-")
    return connect(settings, environment=aws).store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now() - timedelta(days=365))


@pytest.fixture
def table(kind: str, clock: ManualClock, request: pytest.FixtureRequest) -> Iterator[ItemTable]:
    if kind == "fake":
        yield MemoryTable(clock)
        return
    aws = _emulator(kind, request)
    client = _client(aws, "dynamodb")
    with second_aws.a_table(client) if kind == "moto" else nullcontext(aws["ASR_QUEUE_TABLE"]) as name:
        yield DynamoItemTable(client, name, clock=clock, row_retention_s=86_400)


@pytest.fixture
def listing(table: ItemTable) -> BatchListing:
    """Of that same table."""
    if isinstance(table, MemoryTable):
        return MemoryBatchListing(table)
    assert isinstance(table, DynamoItemTable)
    return DynamoBatchListing(table._table._client, table._table._name)


@pytest.fixture
def registry(kind: str, clock: ManualClock, request: pytest.FixtureRequest) -> Iterator[WorkerRegistry]:
    if kind == "fake":
        yield MemoryWorkerRegistry()
        return
    aws = _emulator(kind, request)
    client = _client(aws, "dynamodb")
    with second_aws.a_table(client) if kind == "moto" else nullcontext(aws["ASR_QUEUE_TABLE"]) as name:
        registry = DynamoWorkerRegistry(client, name)
        yield registry
        for report in registry.workers(now=clock.now() - timedelta(hours=1)):
            registry.leave(report.worker_id)


@pytest.fixture
def queue(kind: str, request: pytest.FixtureRequest) -> Iterator[WorkQueue]:
    """The fake alone; all others are lanes, as in production."""
    if kind == "fake":
        yield _memory_queue()
        return
    if kind == "lanes of fakes":
        yield LaneQueue({priority: _memory_queue() for priority in Priority})
        return
    # Queues of the test's own, with short times; the template's have those of production.
    client = _client(_emulator(kind, request), "sqs")
    urls = {
        priority: client.create_queue(
            QueueName=f"contract-{uuid4()}", Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT_S)}
        )["QueueUrl"]
        for priority in Priority
    }
    yield LaneQueue({priority: SqsWorkQueue(client, url) for priority, url in urls.items()})
    for url in urls.values():
        client.delete_queue(QueueUrl=url)


def _memory_queue() -> MemoryQueue:
    return MemoryQueue(SystemClock(), visibility_timeout_s=VISIBILITY_TIMEOUT_S, max_receives=MAX_RECEIVES)
