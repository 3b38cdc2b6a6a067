"""Settings that every process of the system shares; each process builds one such object at its entry.

Environment variables carry the prefix `ASR_QUEUE_`. Nothing but a settings object reads the environment
(boto3's own variables, `AWS_*`, aside). The table for users is `docs/settings.md`.
"""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from asr_queue.domain.items import Operation


class ResourceSettings(BaseSettings):
    """Where the bucket, the table and the queues are, and how long things live in them."""

    model_config = SettingsConfigDict(env_prefix="ASR_QUEUE_", frozen=True, extra="ignore")

    bucket: str
    """Name of the S3 bucket."""
    table: str
    """Name of the DynamoDB table."""
    transcribe_queue_url: str
    """URL of the SQS queue of `transcribe` items of normal priority."""
    transcribe_high_queue_url: str | None = None
    """URL of that of high priority; without it they wait with the normal ones."""
    transcribe_low_queue_url: str | None = None
    """URL of that of low priority; likewise."""
    voice_clone_queue_url: str | None = None
    """URL of the SQS queue of `voice_clone` items of normal priority; without it there are none."""
    voice_clone_high_queue_url: str | None = None
    """URL of that of high priority; without it they wait with the normal ones."""
    voice_clone_low_queue_url: str | None = None
    """URL of that of low priority; likewise."""
    voice_engine: str = ""
    """Name of the engine that speaks, as `gpu_worker.engines.catalog` has it. Empty: the API refuses `voice_clone`, and
    no worker takes it."""
    notify_queue_url: str | None = None
    """URL of the SQS queue of notices; without it the notification function learns of finished batches from nobody."""
    file_ttl_s: int = Field(default=1800, ge=1)
    """Life of an upload from its upload, and of a transcript from its completion (the contract: 30 minutes)."""
    max_upload_bytes: int = Field(default=512 * 1024 * 1024, ge=1)
    """Largest upload, and most of any object that is read; in the API, Lambda's limit (about 4.5 MB) comes first."""
    row_retention_s: int = Field(default=86_400, ge=60)
    """How long a row outlives what it describes, so that a late caller is told 410 rather than 404."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level that is logged."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What this system does: nobody speaks without an engine for it, and a queue."""
        speaks = self.voice_engine and self.voice_clone_queue_url
        return (Operation.TRANSCRIBE, Operation.VOICE_CLONE) if speaks else (Operation.TRANSCRIBE,)


class LeaseSettings(BaseSettings):
    """How long a received message stays hidden, and how often that is renewed."""

    model_config = SettingsConfigDict(env_prefix="ASR_QUEUE_", frozen=True, extra="ignore")

    visibility_timeout_s: int = Field(default=30, ge=3, le=43_200)
    """Seconds that SQS hides a received message; a dead worker's items come back after it. SQS allows 12 h."""
    heartbeat_s: float = Field(default_factory=lambda told: min(10.0, told["visibility_timeout_s"] / 3), gt=0)
    """How often a worker renews the leases it holds; a third of the visibility timeout, or 10 s."""

    @model_validator(mode="after")
    def _heartbeat_leaves_room(self) -> "LeaseSettings":
        if self.visibility_timeout_s < 3 * self.heartbeat_s:
            raise ValueError(
                f"ASR_QUEUE_VISIBILITY_TIMEOUT_S ({self.visibility_timeout_s}) must be at least three times "
                f"ASR_QUEUE_HEARTBEAT_S ({self.heartbeat_s:g}), so that two lost heartbeats cost no lease"
            )
        return self
