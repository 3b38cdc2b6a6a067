"""Standard queues of the embedded AWS, as SQS has them: fair between groups of messages, and no slower when long.

SQS prefers, among the tenants whose messages wait, those that have little in flight (developer guide, "How Amazon SQS
fair queues work"); ministack delivers the oldest message, whosever it is. A message without a group is a tenant of
its own there, and here. ministack also goes through the whole queue several times a call, which is nearly all that it
does once a hundred thousand messages wait; here a call costs what it moves.
"""

import heapq
import json
import time
from collections import Counter, deque
from typing import Any, Final, TypeAlias
from uuid import uuid4

from ministack.services import sqs

_Message: TypeAlias = dict[str, Any]
_Queue: TypeAlias = dict[str, Any]

_collect_any: Final = sqs._collect_msgs
_expire_any: Final = sqs._expire_retained
_sweep_any: Final = sqs._dlq_sweep


def install() -> None:
    """Put these queues in the place of ministack's standard ones, for good."""
    sqs._collect_msgs = _collect
    sqs._expire_retained = _expire
    sqs._dlq_sweep = _sweep_dead
    sqs._HANDLERS["DeleteMessageBatch"] = _delete_batch


class _Index:
    """Where the messages of one queue are; ministack's list of them stays the truth.

    Whatever else ministack does to the queue either appends to that list, which is noticed by its length, or puts
    another list in its place, which makes the index anew.
    """

    def __init__(self) -> None:
        self._messages: list[_Message] | None = None
        self._seen = 0
        self.waiting: dict[str, deque[_Message]] = {}
        """By group, oldest first: messages that were never received."""
        self.known: dict[str, _Message] = {}
        """By id: all others, in flight or given back."""

    def catch_up(self, messages: list[_Message], now_s: float) -> None:
        """Take note of what has come since the last call."""
        if messages is not self._messages or len(messages) < self._seen:
            self._messages, self._seen = messages, 0
            self.waiting, self.known = {}, {}
        new = messages[self._seen :]
        self._seen += len(new)
        for message in new:
            sqs._ensure_msg_fields(message)
            if message["receive_count"] or message["visible_at"] > now_s:
                self.known[message["id"]] = message
            else:
                self.waiting.setdefault(_group(message), deque()).append(message)

    def take(self, most: int, now_s: float) -> list[_Message]:
        """Return what is next: each time the oldest message of the group that has least in flight."""
        in_flight: Counter[str] = Counter()
        lines: dict[str, list[_Message]] = {group: [] for group in self.waiting}
        for message in self.known.values():
            if message["visible_at"] > now_s:
                in_flight[_group(message)] += 1
            else:
                lines.setdefault(_group(message), []).append(message)
        heap = [(in_flight[group], place, group) for place, group in enumerate(lines)]
        heapq.heapify(heap)
        taken: list[_Message] = []
        while heap and len(taken) < most:
            out, place, group = heapq.heappop(heap)
            chosen = self._next(group, lines[group])
            if chosen is not None:
                taken.append(chosen)
                heapq.heappush(heap, (out + 1, place, group))
        return taken

    def remove(self, handles: set[str]) -> set[str]:
        """Remove the messages of these receipt handles; return the handles that were some message's."""
        gone = {handle: message for message in self.known.values() if (handle := message["receipt_handle"]) in handles}
        for message in gone.values():
            del self.known[message["id"]]
            if self._messages is not None:
                del self._messages[next(i for i, each in enumerate(self._messages) if each is message)]
                self._seen -= 1
        return set(gone)

    def _next(self, group: str, given_back: list[_Message]) -> _Message | None:
        waiting = self.waiting.get(group)
        if given_back:
            return given_back.pop(0)
        if not waiting:
            return None
        message = waiting.popleft()
        if not waiting:
            del self.waiting[group]
        self.known[message["id"]] = message
        return message


_INDEXES: Final[dict[str, _Index]] = {}
"""By the queue's ARN."""


def _indexed(queue: _Queue, now_s: float) -> _Index:
    index = _INDEXES.setdefault(queue["attributes"]["QueueArn"], _Index())
    index.catch_up(queue["messages"], now_s)
    return index


def _group(message: _Message) -> str:
    return str(message["group_id"] or message["id"])


def _now_s() -> float:
    return time.time()  # noqa: TID251 - the emulator's own clock, which `visible_at` is by


def _collect(queue: _Queue, max_messages: int, visibility_timeout_s: int) -> list[_Message]:
    """Hide and return up to `max_messages` visible messages."""
    if queue["is_fifo"]:
        return list(_collect_any(queue, max_messages, visibility_timeout_s))
    now_s = _now_s()
    taken = _indexed(queue, now_s).take(max_messages, now_s)
    for message in taken:
        message["receipt_handle"] = str(uuid4())
        message["visible_at"] = now_s + visibility_timeout_s
        message["receive_count"] += 1
        message["first_receive_at"] = message["first_receive_at"] or now_s
    return taken


def _expire(queue: _Queue) -> None:
    """Drop what is older than the queue keeps messages; nothing is while the first that came is not."""
    first = queue["messages"][0] if queue["messages"] else None
    kept_s = int(queue["attributes"].get("MessageRetentionPeriod", "345600"))
    if first is not None and first.get("enqueued_at", first.get("sent_at", 0)) <= _now_s() - kept_s:
        _expire_any(queue)


def _sweep_dead(queue: _Queue) -> None:
    """Move what was received too often to the dead-letter queue, where there is any."""
    now_s, policy = _now_s(), queue["attributes"].get("RedrivePolicy")
    if policy is None:
        return
    most = int(json.loads(policy)["maxReceiveCount"])
    known = _indexed(queue, now_s).known.values()
    if queue["is_fifo"] or any(each["visible_at"] <= now_s and each["receive_count"] >= most for each in known):
        _sweep_any(queue)


def _delete_batch(request: dict[str, Any], url: str) -> dict[str, Any]:
    queue = sqs._get_q(request.get("QueueUrl", url), "sqs:DeleteMessage")
    entries = request.get("Entries", [])
    sqs._validate_batch_entries(entries, "DeleteMessageBatchRequestEntry")
    gone = _indexed(queue, _now_s()).remove({entry["ReceiptHandle"] for entry in entries})
    refused = {"Code": "ReceiptHandleIsInvalid", "Message": "The receipt handle is invalid.", "SenderFault": True}
    return {
        "Successful": [{"Id": entry["Id"]} for entry in entries if entry["ReceiptHandle"] in gone],
        "Failed": [{"Id": entry["Id"], **refused} for entry in entries if entry["ReceiptHandle"] not in gone],
    }
