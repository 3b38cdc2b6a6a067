"""Notices and signing secrets in dictionaries, their messages in a list, and what was told outside."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from asr_queue.domain.notices import Notice
from asr_queue.domain.signatures import Secrets
from asr_queue.ports import NOTICE_LATE_S, Clock
from asr_queue.wire.webhooks import FinishedEvent

_LATE = timedelta(seconds=NOTICE_LATE_S)


class MemoryNoticeTable:
    """NoticeTable for tests; safe to use from several threads. Rows stay for ever."""

    def __init__(self) -> None:
        """Make an empty table; `MemoryTable` has one, which it writes notices to."""
        self._lock = threading.Lock()
        self._notices: dict[str, Notice] = {}
        self._due: dict[str, datetime] = {}
        self._secrets: dict[str, Secrets] = {}

    def put(self, notice: Notice) -> None:
        """Keep a notice that nobody has claimed."""
        with self._lock:
            self._put(notice)

    def forget_tenant(self, tenant: str) -> int:
        """Remove everything of a tenant; return how many rows that were."""
        with self._lock:
            batch_ids = [batch_id for batch_id, notice in self._notices.items() if notice.tenant == tenant]
            for batch_id in batch_ids:
                del self._notices[batch_id]
                self._due.pop(batch_id, None)
            return len(batch_ids) + (self._secrets.pop(tenant, None) is not None)

    def get_notice(self, batch_id: str) -> Notice | None:
        """Return a batch's notice."""
        with self._lock:
            return self._notices.get(batch_id)

    def claim_notice(self, batch_id: str, *, now: datetime, until: datetime) -> Notice | None:
        """Take a notice for oneself alone."""
        with self._lock:
            notice = self._notices.get(batch_id)
            if notice is None or notice.next_attempt_at is None or notice.next_attempt_at > now:
                return None
            self._put(replace(notice, claim=str(uuid4()), next_attempt_at=until))
            return self._notices[batch_id]

    def save_notice(self, notice: Notice) -> bool:
        """Keep what was done about a notice, and let go of it."""
        with self._lock:
            known = self._notices.get(notice.batch_id)
            if known is None or known.claim is None or known.claim != notice.claim:
                return False
            self._put(replace(notice, claim=None))
            return True

    def replay_notice(self, batch_id: str, *, now: datetime) -> Notice | None:
        """Have a notice delivered again."""
        with self._lock:
            known = self._notices.get(batch_id)
            if known is None:
                return None
            is_under_way = known.claim is not None and known.next_attempt_at is not None and known.next_attempt_at > now
            if not is_under_way:
                self._put(known.replayed(now=now))
            return self._notices[batch_id]

    def remove_notice(self, batch_id: str) -> None:
        """Forget a notice."""
        with self._lock:
            self._notices.pop(batch_id, None)
            self._due.pop(batch_id, None)

    def due_notices(self, *, now: datetime, limit: int) -> list[Notice]:
        """Return notices that nobody has seen to in time."""
        with self._lock:
            return [self._notices[batch_id] for batch_id, at in self._due.items() if at <= now][:limit]

    def postpone_notice(self, notice: Notice, *, next_check_at: datetime) -> None:
        """Set when a notice is due again."""
        with self._lock:
            if notice.batch_id in self._due:
                self._due[notice.batch_id] = next_check_at

    def get_secrets(self, tenant: str) -> Secrets | None:
        """Return a tenant's signing secrets."""
        with self._lock:
            return self._secrets.get(tenant)

    def put_secrets(self, secrets: Secrets, *, instead_of: Secrets | None) -> bool:
        """Keep signing secrets."""
        with self._lock:
            if self._secrets.get(secrets.tenant) != instead_of:
                return False
            self._secrets[secrets.tenant] = secrets
            return True

    def _put(self, notice: Notice) -> None:
        self._notices[notice.batch_id] = notice
        self._due.pop(notice.batch_id, None)
        if notice.next_attempt_at is not None:
            self._due[notice.batch_id] = notice.next_attempt_at + _LATE


class MemoryNoticeQueue:
    """NoticeQueue for tests: a list, each message once, in order."""

    def __init__(self, clock: Clock) -> None:
        """Make an empty queue."""
        self._clock = clock
        self._lock = threading.Lock()
        self._messages: list[tuple[datetime, str]] = []

    def send(self, batch_id: str, *, tenant: str, delay_s: int = 0) -> None:
        """Send a message."""
        del tenant
        with self._lock:
            self._messages.append((self._clock.now() + timedelta(seconds=delay_s), batch_id))

    def receive(self) -> list[str]:
        """Take out what has come by now: the ids of the batches."""
        with self._lock:
            now = self._clock.now()
            come = [batch_id for at, batch_id in self._messages if at <= now]
            self._messages = [(at, batch_id) for at, batch_id in self._messages if at > now]
            return come


class MemoryEventBus:
    """EventBus for tests."""

    def __init__(self) -> None:
        """Make a bus that was told nothing."""
        self.told: list[FinishedEvent] = []

    def publish(self, event: FinishedEvent) -> None:
        """Tell that a batch is finished."""
        self.told.append(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request of a callback."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class MemoryWebhookCaller:
    """WebhookCaller for tests: answers what it was told to, and then 204."""

    def __init__(self) -> None:
        """Make a caller that has sent nothing."""
        self.sent: list[Sent] = []
        self.answers: list[tuple[int | None, str | None]] = []
        """What the next requests come to."""

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str | None]:
        """Send a body."""
        self.sent.append(Sent(url=url, headers=headers, body=body))
        return self.answers.pop(0) if self.answers else (204, None)
