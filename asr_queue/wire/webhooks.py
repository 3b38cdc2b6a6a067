"""What a callback and the event bus are told. No text of any transcript, and no name of a recording."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from asr_queue.domain.batches import BatchStatus
from asr_queue.domain.notices import Notice
from asr_queue.wire.times import iso


class FinishedBatch(BaseModel):
    """How a batch ended. Fields may be added; none may be renamed, removed or change its meaning."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch_id: str
    label: str
    status: BatchStatus
    completed: int
    failed: int
    total: int
    status_url: str
    """Path of the status call, as the API has it."""

    @classmethod
    def of(cls, notice: Notice, *, status_url: str) -> "FinishedBatch":
        """Return what a notice tells."""
        return cls(
            batch_id=notice.batch_id,
            label=notice.label,
            status=notice.status,
            completed=notice.completed,
            failed=notice.failed,
            total=notice.total,
            status_url=status_url,
        )


class Webhook(BaseModel):
    """Body of a delivery, as Standard Webhooks lays it out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["batch.finished"] = "batch.finished"
    timestamp: str
    """When the last item ended, not when it was sent: the same in every attempt."""
    data: FinishedBatch

    @classmethod
    def of(cls, notice: Notice, *, status_url: str) -> "Webhook":
        """Return the body that tells of a batch."""
        return cls(timestamp=iso(notice.finished_at), data=FinishedBatch.of(notice, status_url=status_url))


class FinishedEvent(FinishedBatch):
    """Detail of the event on the bus, which tells of every tenant's batches."""

    schema_version: Literal[1] = 1
    tenant: str
    finished_at: str

    @classmethod
    def of(cls, notice: Notice, *, status_url: str) -> "FinishedEvent":
        """Return the event that tells of a batch."""
        told = FinishedBatch.of(notice, status_url=status_url)
        return cls(tenant=notice.tenant, finished_at=iso(notice.finished_at), **told.model_dump())
