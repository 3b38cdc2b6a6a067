"""The way to AWS."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config

from asr_queue.adapters.dynamodb.listing import DynamoBatchListing
from asr_queue.adapters.dynamodb.notices import DynamoNoticeTable
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.dynamodb.workers import DynamoWorkerRegistry
from asr_queue.adapters.eventbridge import EventBridge
from asr_queue.adapters.lanes import LaneQueue
from asr_queue.adapters.s3 import S3ObjectStore
from asr_queue.adapters.s3_presigner import S3Presigner
from asr_queue.adapters.sqs import SqsWorkQueue
from asr_queue.adapters.sqs_notices import SqsNoticeQueue
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from asr_queue.ports import WorkQueues
from asr_queue.settings import ResourceSettings

_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=32,
)
_S3_CONFIG: Final = _CONFIG.merge(
    # v4 because the SDK's default for presigned URLs is older; paths because names under `localhost` do not resolve.
    Config(signature_version="s3v4", s3={"addressing_style": "path"})
)
_PRESIGN_CONFIG: Final = _S3_CONFIG.merge(Config(request_checksum_calculation="when_required"))
_SQS_CONFIG: Final = _CONFIG.merge(Config(read_timeout=30))
"""SQS holds an empty receive for up to 20 s."""


@dataclass(frozen=True, slots=True)
class Aws:
    """The adapters of one process; safe to use from several threads."""

    store: S3ObjectStore
    presigner: S3Presigner
    queues: WorkQueues
    table: DynamoItemTable
    notices: DynamoNoticeTable
    notice_queue: SqsNoticeQueue | None
    """None where the settings name none."""
    workers: DynamoWorkerRegistry
    listing: DynamoBatchListing


def connect(settings: ResourceSettings, *, environment: Mapping[str, str] | None = None) -> Aws:
    """Return adapters for the resources that the settings name; nothing is asked of AWS yet.

    Args:
        settings: the names of bucket, table and queues.
        environment: endpoint, region and credentials by boto3's variable names (`AWS_ENDPOINT_URL`,
            `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`); None where boto3 finds its own.
    """
    session, endpoint_url = _session(environment)
    clock = SystemClock()
    dynamodb = session.client("dynamodb", config=_CONFIG, endpoint_url=endpoint_url)
    sqs = session.client("sqs", config=_SQS_CONFIG, endpoint_url=endpoint_url)
    return Aws(
        store=S3ObjectStore(
            session.client("s3", config=_S3_CONFIG, endpoint_url=endpoint_url),
            settings.bucket,
            most_bytes=settings.max_upload_bytes,
        ),
        presigner=S3Presigner(
            partial(session.client, "s3", config=_PRESIGN_CONFIG, endpoint_url=endpoint_url), settings.bucket
        ),
        queues=_queues(sqs, settings),
        table=DynamoItemTable(dynamodb, settings.table, clock=clock, row_retention_s=settings.row_retention_s),
        notices=DynamoNoticeTable(dynamodb, settings.table, clock=clock, row_retention_s=settings.row_retention_s),
        notice_queue=SqsNoticeQueue(sqs, settings.notify_queue_url) if settings.notify_queue_url else None,
        workers=DynamoWorkerRegistry(dynamodb, settings.table),
        listing=DynamoBatchListing(dynamodb, settings.table),
    )


def connect_events(bus: str, *, environment: Mapping[str, str] | None = None) -> EventBridge:
    """Return an event bus alone, for the one process that tells it anything.

    Args:
        bus: its name.
        environment: as for `connect`.
    """
    session, endpoint_url = _session(environment)
    return EventBridge(session.client("events", config=_CONFIG, endpoint_url=endpoint_url), bus)


def connect_bucket(bucket: str, *, environment: Mapping[str, str] | None = None) -> S3ObjectStore:
    """Return a bucket alone, for who drops objects into it; nothing is asked of AWS yet.

    Args:
        bucket: its name.
        environment: as for `connect`.
    """
    session, endpoint_url = _session(environment)
    return S3ObjectStore(session.client("s3", config=_S3_CONFIG, endpoint_url=endpoint_url), bucket)


def _queues(sqs: Any, settings: ResourceSettings) -> WorkQueues:
    urls = {
        Operation.TRANSCRIBE: {
            Priority.HIGH: settings.transcribe_high_queue_url,
            Priority.NORMAL: settings.transcribe_queue_url,
            Priority.LOW: settings.transcribe_low_queue_url,
        },
        Operation.VOICE_CLONE: {
            Priority.HIGH: settings.voice_clone_high_queue_url,
            Priority.NORMAL: settings.voice_clone_queue_url,
            Priority.LOW: settings.voice_clone_low_queue_url,
        },
    }
    return {
        operation: LaneQueue({priority: SqsWorkQueue(sqs, url) for priority, url in lanes.items() if url})
        for operation, lanes in urls.items()
        if lanes[Priority.NORMAL]
    }


def _session(environment: Mapping[str, str] | None) -> tuple[boto3.Session, str | None]:
    if environment is None:
        return boto3.Session(), None
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    return session, environment["AWS_ENDPOINT_URL"]
