"""The notice of a finished batch: what is told of it, to whom, and how far that has come.

    pending ──2xx──────────────────▶ delivered ─┐
       │  └──refused──▶ pending, later          ├──replay──▶ pending
       └──410, or refused too often──▶ given up ┘

Beside it, and before it, the event bus is told once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from asr_queue.domain.batches import Batch, BatchStatus, Progress

BACKOFF_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
"""Waits between attempts, as Standard Webhooks suggests them, as far as a row is kept: seven attempts in 18 hours."""
CLAIM_S: Final = 90
"""How long an attempt is left alone: longer than the function that makes it may run."""
_MOST_ATTEMPTS: Final = 20
"""Attempts that are kept, the last ones: replays have no end."""
_EVENT_AGAIN_S: Final = 60.0


def webhook_id(batch_id: str) -> str:
    """Return the id of what is told of a batch: the same for every attempt and replay, which tells repetitions."""
    return f"msg_{batch_id}"


class DeliveryState(StrEnum):
    """How far the delivery to a callback has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver."""

    at: datetime
    status: int | None
    """Of the answer; None where there was none."""
    error: str | None
    """Why there was no answer; for people."""
    duration_s: float

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver has taken it: any 2xx. A redirection is a refusal, since none is followed."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def wants_no_more(self) -> bool:
        """Whether the receiver says that there is nobody, and never will be."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is to be told of one batch; complete in itself, so that nothing else need be read."""

    batch_id: str
    tenant: str
    label: str
    callback_url: str | None
    """None where only the event bus is told."""
    total: int
    completed: int
    failed: int
    finished_at: datetime
    is_published: bool = False
    """Whether the event bus has it."""
    state: DeliveryState = DeliveryState.PENDING
    """Of the delivery to `callback_url`; says nothing where there is none."""
    attempts: tuple[Attempt, ...] = ()
    """The last ones, oldest first."""
    failures: int = 0
    """Failed attempts since the first, or since the last replay: how far the backoff has come."""
    next_attempt_at: datetime | None = None
    """From when on somebody may see to what is left; None where nothing is."""
    claim: str | None = None
    """Whose attempt is under way; it has lapsed from `next_attempt_at` on."""

    @classmethod
    def of(cls, batch: Batch, progress: Progress, *, finished_at: datetime) -> "Notice":
        """Return the notice of a batch that has just been found finished."""
        return cls(
            batch_id=batch.batch_id,
            tenant=batch.tenant,
            label=batch.label,
            callback_url=batch.callback_url,
            total=progress.total,
            completed=progress.completed,
            failed=progress.failed,
            finished_at=finished_at,
            next_attempt_at=finished_at,
        )

    @property
    def webhook_id(self) -> str:
        """The id of what is told."""
        return webhook_id(self.batch_id)

    @property
    def status(self) -> BatchStatus:
        """The batch's status."""
        return Progress(total=self.total, queued=0, processing=0, completed=self.completed, failed=self.failed).status

    @property
    def is_to_deliver(self) -> bool:
        """Whether the callback is still to be told."""
        return self.callback_url is not None and self.state is DeliveryState.PENDING

    def published(self) -> "Notice":
        """Return it as known to the event bus."""
        return replace(self, is_published=True)

    def attempted(self, attempt: Attempt, *, backoff_s: Sequence[float]) -> "Notice":
        """Return it after an attempt, which may have been the last one."""
        after = replace(self, attempts=(*self.attempts, attempt)[-_MOST_ATTEMPTS:])
        if attempt.is_accepted:
            return replace(after, state=DeliveryState.DELIVERED)
        if attempt.wants_no_more or self.failures >= len(backoff_s):
            return replace(after, state=DeliveryState.GIVEN_UP)
        return replace(after, failures=self.failures + 1)

    def rescheduled(self, *, now: datetime, backoff_s: Sequence[float], spread: float) -> "Notice":
        """Return it with the time from which on somebody may see to what is left.

        Args:
            backoff_s: the wait after each failed attempt.
            spread: 0 to 1: how much longer than that, in fifths, so that what failed together is not tried together.
        """
        wait_s: float | None = None
        if self.is_to_deliver:
            wait_s = backoff_s[self.failures - 1] * (1 + spread / 5) if self.failures else 0.0
        elif not self.is_published:
            wait_s = _EVENT_AGAIN_S
        next_attempt_at = None if wait_s is None else now + timedelta(seconds=wait_s)
        return replace(self, next_attempt_at=next_attempt_at)

    def replayed(self, *, now: datetime) -> "Notice":
        """Return it as if nothing had been tried, but for the log."""
        return replace(self, state=DeliveryState.PENDING, failures=0, next_attempt_at=now, claim=None)
