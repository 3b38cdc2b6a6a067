"""A queue in memory that takes every freedom SQS takes."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from asr_queue.domain.batches import Priority
from asr_queue.ports import Backlog, Clock, Delivery
from asr_queue.wire.messages import ItemMessage

_POLL_S = 0.01
_MAX_MESSAGES = 10


@dataclass(slots=True)
class _Message:
    body: str
    visible_at: datetime
    sent_at: datetime
    tenant: str = ""
    receive_count: int = 0
    handle: str = ""
    old_handles: set[str] = field(default_factory=set)


class MemoryQueue:
    """WorkQueue for tests; safe to use from several threads.

    Messages are hidden in the clock's time; an empty receive waits in real time.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        visibility_timeout_s: int = 30,
        max_receives: int = 10,
        chance: random.Random | None = None,
    ) -> None:
        """Make an empty queue.

        Args:
            clock: what hides messages.
            visibility_timeout_s: how long a received message stays hidden.
            max_receives: after that many receives a message moves to `dead_letters`.
            chance: draws what SQS leaves open: order, a double delivery, whether a stale handle deletes. Without
                it, messages come in order, once, and stale handles fail.
        """
        self.dead_letters: list[str] = []
        """Bodies of the messages that were received too often."""
        self._clock = clock
        self._visibility_timeout_s = visibility_timeout_s
        self._max_receives = max_receives
        self._chance = chance
        self._messages: list[_Message] = []
        self._lock = threading.Lock()

    def send(
        self, messages: Sequence[ItemMessage], *, tenant: str, priority: Priority = Priority.NORMAL
    ) -> list[ItemMessage]:
        """Send messages; none is refused. To one queue all are alike."""
        del priority
        self.send_bodies([message.model_dump_json() for message in messages], tenant=tenant)
        return []

    def send_bodies(self, bodies: Sequence[str], *, tenant: str = "") -> None:
        """Send bodies as they are, whatever they hold."""
        now = self._clock.now()
        with self._lock:
            self._messages += [_Message(body, now, now, tenant) for body in bodies]

    def receive(self, *, max_messages: int, wait_s: int) -> list[Delivery]:
        """Receive up to `max_messages` (1 to 10)."""
        if not 1 <= max_messages <= _MAX_MESSAGES:
            raise ValueError(f"max_messages must be 1 to {_MAX_MESSAGES}, not {max_messages}")
        deadline = time.monotonic() + wait_s
        while True:
            deliveries = self._receive_now(max_messages)
            if deliveries or time.monotonic() >= deadline:
                return deliveries
            time.sleep(_POLL_S)

    def extend(self, receipt_handles: Sequence[str], *, visibility_s: int) -> list[str]:
        """Hide messages for `visibility_s` from now; return the handles that failed."""
        failed = []
        with self._lock:
            for handle in receipt_handles:
                message = self._by_handle(handle)
                if message is None or message.visible_at <= self._clock.now():
                    failed.append(handle)
                else:
                    message.visible_at = self._clock.now() + timedelta(seconds=visibility_s)
        return failed

    def delete(self, receipt_handles: Sequence[str]) -> list[str]:
        """Acknowledge messages; return the handles that failed."""
        failed = []
        with self._lock:
            for handle in receipt_handles:
                message = self._by_handle(handle)
                if message is None and self._chance is not None and self._chance.random() < 0.5:
                    message = next((each for each in self._messages if handle in each.old_handles), None)
                if message is None:
                    failed.append(handle)
                else:
                    self._messages.remove(message)
        return failed

    def backlog(self) -> Backlog:
        """Count what waits and what is out."""
        with self._lock:
            visible = sum(message.visible_at <= self._clock.now() for message in self._messages)
            return Backlog(visible=visible, in_flight=len(self._messages) - visible)

    def backlogs(self) -> dict[Priority, Backlog]:
        """Count the same: one queue is one lane."""
        return {Priority.NORMAL: self.backlog()}

    def drop_all(self) -> None:
        """Lose every message: what AWS never does, and an emulator that is killed may."""
        with self._lock:
            self._messages.clear()

    def _receive_now(self, max_messages: int) -> list[Delivery]:
        with self._lock:
            now = self._clock.now()
            visible = [message for message in self._messages if message.visible_at <= now]
            in_flight = Counter(message.tenant for message in self._messages if message.visible_at > now)
            if self._chance is not None:
                self._chance.shuffle(visible)
            deliveries: list[Delivery] = []
            for message in visible:
                if message.receive_count >= self._max_receives:
                    self._messages.remove(message)
                    self.dead_letters.append(message.body)
            waiting = [message for message in visible if message.receive_count < self._max_receives]
            while waiting and len(deliveries) < max_messages:
                next_one = min(waiting, key=lambda message: in_flight[message.tenant])
                waiting.remove(next_one)
                in_flight[next_one.tenant] += 1
                deliveries.append(self._deliver(next_one, now))
            return deliveries

    def _deliver(self, message: _Message, now: datetime) -> Delivery:
        message.receive_count += 1
        message.old_handles.add(message.handle)
        message.handle = str(uuid4())
        is_hidden = self._chance is None or self._chance.random() >= 0.2
        message.visible_at = now + timedelta(seconds=self._visibility_timeout_s if is_hidden else 0)
        return Delivery(
            body=message.body,
            receipt_handle=message.handle,
            receive_count=message.receive_count,
            sent_at=message.sent_at,
        )

    def _by_handle(self, handle: str) -> _Message | None:
        return next((message for message in self._messages if message.handle == handle), None)
