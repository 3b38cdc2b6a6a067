"""A batch: items submitted together; its status is derived from theirs, never stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from asr_queue.domain.items import Item, ItemStatus

MAX_ITEMS = 1000
"""Items that one submit accepts (the contract)."""


class Priority(StrEnum):
    """How a batch stands beside others that wait; none of them makes another one wait for ever."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class BatchStatus(StrEnum):
    """The states of a batch, as the wire names them."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is kept of a batch beside its items."""

    batch_id: str
    tenant: str
    total: int
    created_at: datetime
    label: str = ""
    priority: Priority = Priority.NORMAL
    callback_url: str | None = None
    """Where its end is to be told."""
    retry_of: str | None = None
    """Id of the batch whose failed items it repeats."""
    ahead_items: int | None = None
    """Items that waited when it was submitted, of its priority or a higher one; None where nobody counted."""
    sent_at: datetime | None = None
    """When a message had been sent for every item; None until then."""
    finished_at: datetime | None = None
    """When the last item became final; None until somebody has seen that."""
    completed: int | None = None
    """Items that ended done, noted together with `finished_at`."""
    failed: int | None = None
    """Items that ended in error, noted together with `finished_at`."""
    deleted_at: datetime | None = None
    """When its tenant deleted it; from then on nobody sees it, and its items go."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts taken from one reading of a batch's items."""

    total: int
    queued: int
    processing: int
    completed: int
    failed: int

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Progress":
        """Count the states of a batch's items."""
        states = [item.status for item in items]
        return cls(
            total=len(states),
            queued=states.count(ItemStatus.QUEUED),
            processing=states.count(ItemStatus.PROCESSING),
            completed=states.count(ItemStatus.DONE),
            failed=states.count(ItemStatus.ERROR),
        )

    @property
    def is_finished(self) -> bool:
        """Whether every item is final."""
        return self.completed + self.failed == self.total

    @property
    def status(self) -> BatchStatus:
        """The batch's status by the table of the contract."""
        if self.failed == self.total:
            return BatchStatus.ERROR
        if self.failed:
            return BatchStatus.PARTIAL
        if self.completed == self.total:
            return BatchStatus.COMPLETED
        if self.queued == self.total:
            return BatchStatus.QUEUED
        return BatchStatus.PROCESSING


def finished_at(items: Sequence[Item]) -> datetime | None:
    """Return when the last item became final: the same for every observer. None while one is not."""
    instants = [item.finished_at for item in items]
    if any(instant is None for instant in instants):
        return None
    return max((instant for instant in instants if instant is not None), default=None)
