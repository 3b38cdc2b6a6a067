"""Standard queues of the embedded AWS, as SQS has them: fair between groups of messages.

SQS prefers, among the tenants whose messages wait, those that have little in flight (developer guide, "How Amazon SQS
fair queues work"); ministack delivers the oldest message, whosever it is. A message without a group is a tenant of
its own there, and here.

Deleting is replaced too: ministack goes through the whole queue for each of ten messages, which is most of its time
once a hundred thousand wait.
"""

import heapq
import time
from collections import Counter, deque
from typing import Any, TypeAlias
from uuid import uuid4

from ministack.services import sqs

_Message: TypeAlias = dict[str, Any]
_collect_any = sqs._collect_msgs


def install() -> None:
    """Have ministack deliver fairly, and delete in one go, from now on."""
    sqs._collect_msgs = _collect
    sqs._HANDLERS["DeleteMessageBatch"] = _delete_batch


def _collect(queue: dict[str, Any], max_messages: int, visibility_timeout_s: int) -> list[_Message]:
    """Hide and return up to `max_messages` visible messages; takes ministack's place at every receive."""
    if queue["is_fifo"]:
        return list(_collect_any(queue, max_messages, visibility_timeout_s))
    now_s = time.time()  # noqa: TID251 - the emulator's own clock, which `visible_at` is by
    chosen = _choose(queue["messages"], max_messages, now_s)
    for message in chosen:
        sqs._ensure_msg_fields(message)
        message["receipt_handle"] = str(uuid4())
        message["visible_at"] = now_s + visibility_timeout_s
        message["receive_count"] += 1
        message["first_receive_at"] = message["first_receive_at"] or now_s
    return chosen


def _choose(messages: list[_Message], most: int, now_s: float) -> list[_Message]:
    """Return what is next: each time the oldest message of the group that has least in flight."""
    in_flight: Counter[str] = Counter()
    waiting: dict[str, deque[_Message]] = {}
    for message in messages:
        group = message.get("group_id") or message["id"]
        if message["visible_at"] > now_s:
            in_flight[group] += 1
        elif (oldest := waiting.get(group)) is None:
            waiting[group] = deque([message])
        elif len(oldest) < most:
            oldest.append(message)
    line = [(in_flight[group], place, oldest) for place, (group, oldest) in enumerate(waiting.items())]
    heapq.heapify(line)
    chosen: list[_Message] = []
    while line and len(chosen) < most:
        out, place, oldest = heapq.heappop(line)
        chosen.append(oldest.popleft())
        if oldest:
            heapq.heappush(line, (out + 1, place, oldest))
    return chosen


def _delete_batch(request: dict[str, Any], url: str) -> dict[str, Any]:
    queue = sqs._get_q(request.get("QueueUrl", url), "sqs:DeleteMessage")
    entries = request.get("Entries", [])
    sqs._validate_batch_entries(entries, "DeleteMessageBatchRequestEntry")
    handles = {entry["ReceiptHandle"] for entry in entries}
    gone = handles & {message.get("receipt_handle") for message in queue["messages"]}
    queue["messages"] = [message for message in queue["messages"] if message.get("receipt_handle") not in gone]
    return {
        "Successful": [{"Id": entry["Id"]} for entry in entries if entry["ReceiptHandle"] in gone],
        "Failed": [
            {"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "Message": "unknown handle", "SenderFault": True}
            for entry in entries
            if entry["ReceiptHandle"] not in gone
        ],
    }
