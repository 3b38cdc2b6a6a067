"""What the emulator did to rows and messages, written down before it answers.

A journal is a file of JSON lines. Each line states what is so now, not what changed: the image of a row, a message
as it stands, the receipt handles whose messages are gone. Reading a line twice, or one whose effect a snapshot has
already, does no harm; so a snapshot may be taken while requests go on (`snapshots`).

Lines are handed to the kernel one request at a time: they survive this process, however it ends, but not a power cut.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from ministack.services import dynamodb, sqs

Record: TypeAlias = list[Any]
"""`[kind, place, ...]`; the kinds are the functions below."""

Handler: TypeAlias = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[tuple[int, Any, Any]]]
"""How ministack calls a service: method, path, headers, body, query."""

_ROW_ACTIONS = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_ROW_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems", "DescribeTable"})
_MESSAGE_READS = frozenset({"GetQueueAttributes", "GetQueueUrl", "ListQueues"})


class Journal:
    """One file, appended to."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self.size_bytes = self._file.tell()

    def write(self, records: list[Record]) -> None:
        """Append records, in one call to the system."""
        if records:
            self.size_bytes += self._file.write(b"".join(line(record) for record in records))

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def line(record: Record) -> bytes:
    """Return a record as a line."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def row(table: str, hash_key: str, range_key: str) -> Record:
    """Return a row as it is now; its image is None where there is none."""
    return ["row", table, hash_key, range_key, dynamodb._tables[table]["items"].get(hash_key, {}).get(range_key)]


def replay(path: Path) -> None:
    """Apply a journal to the emulator's state. A last line that was cut off counts as never written."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for text in lines:
            if text.endswith(b"\n"):
                kind, place, *rest = json.loads(text)
                _REPLAY[kind](place, *rest)


def recording_rows(handler: Handler, journal: Callable[[], Journal], note_other: Callable[[], None]) -> Handler:
    """Return ministack's DynamoDB with every row written down that a request changed.

    Args:
        journal: tells the present one.
        note_other: called when something else than rows may have changed.
    """

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> tuple[int, Any, Any]:
        answer = await handler(method, path, headers, body, query)
        action = _action(headers)
        if action in _ROW_ACTIONS:
            if answer[0] == 200:
                journal().write([row(*place) for place in _written_rows(action, json.loads(body))])
        elif action not in _ROW_READS:
            note_other()
        return answer

    return handle


def recording_messages(handler: Handler, journal: Callable[[], Journal], note_other: Callable[[], None]) -> Handler:
    """Return ministack's SQS with every message written down that a request changed; see `recording_rows`."""

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> tuple[int, Any, Any]:
        answer = await handler(method, path, headers, body, query)
        action = _action(headers)
        if action in _MESSAGES:
            if answer[0] == 200:
                request = json.loads(body)
                journal().write(_MESSAGES[action](sqs._get_q(request["QueueUrl"]), request, json.loads(answer[2])))
        elif action not in _MESSAGE_READS:
            note_other()
        return answer

    return handle


def _action(headers: Mapping[str, str]) -> str:
    return headers.get("x-amz-target", "").rpartition(".")[2]


def _written_rows(action: str, request: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for table, key in _written_keys(action, request):
        names = dynamodb._tables[table]
        yield table, key[names["pk_name"]]["S"], key[names["sk_name"]]["S"]


def _written_keys(action: str, request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the table and key (or the whole item) of every row that a request may have changed."""
    if action == "BatchWriteItem":
        for table, writes in request["RequestItems"].items():
            for write in writes:
                yield table, write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
    elif action == "TransactWriteItems":
        for write in request["TransactItems"]:
            for kind, body in write.items():
                if kind != "ConditionCheck":
                    yield body["TableName"], body["Item"] if kind == "Put" else body["Key"]
    else:
        yield request["TableName"], request["Item"] if action == "PutItem" else request["Key"]


def _sent(queue: Mapping[str, Any], named: list[Mapping[str, Any]]) -> list[Record]:
    ids = {answer["MessageId"] for answer in named}
    return _messages_with("id", ids, queue["name"], reversed(queue["messages"]))[::-1]


def _received(queue: Mapping[str, Any], named: list[Mapping[str, Any]]) -> list[Record]:
    return _messages_with("id", {answer["MessageId"] for answer in named}, queue["name"], queue["messages"])


def _hidden(queue: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> list[Record]:
    handles = {entry["ReceiptHandle"] for entry in entries}
    return _messages_with("receipt_handle", handles, queue["name"], queue["messages"])


def _messages_with(field: str, values: set[str], name: str, messages: Iterable[Any]) -> list[Record]:
    """Return the messages with these values; looks no further than the last of them, for a queue may be long."""
    found = (["message", name, message] for message in messages if message[field] in values)
    return list(islice(found, len(values)))


def _gone(queue: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> list[Record]:
    return [["gone", queue["name"], [entry["ReceiptHandle"] for entry in entries]]]


_MESSAGES: dict[str, Callable[[Mapping[str, Any], Any, Any], list[Record]]] = {
    "SendMessage": lambda queue, _, answer: _sent(queue, [answer]),
    "SendMessageBatch": lambda queue, _, answer: _sent(queue, answer["Successful"]),
    "ReceiveMessage": lambda queue, _, answer: _received(queue, answer.get("Messages", [])),
    "ChangeMessageVisibility": lambda queue, request, _: _hidden(queue, [request]),
    "ChangeMessageVisibilityBatch": lambda queue, request, _: _hidden(queue, request["Entries"]),
    "DeleteMessage": lambda queue, request, _: _gone(queue, [request]),
    "DeleteMessageBatch": lambda queue, request, _: _gone(queue, request["Entries"]),
}


def _replay_row(table: str, hash_key: str, range_key: str, image: dict[str, Any] | None) -> None:
    state = dynamodb._tables.get(table)
    if state is None:
        return
    if image is None:
        dynamodb._remove_item(state, hash_key, range_key)
    else:
        dynamodb._set_item(state, hash_key, range_key, image)


def _replay_message(queue: str, message: dict[str, Any]) -> None:
    messages = _messages_of(queue)
    for place, known in enumerate(messages):
        if known["id"] == message["id"]:
            messages[place] = message
            return
    messages.append(message)


def _replay_gone(queue: str, handles: list[str]) -> None:
    messages = _messages_of(queue)
    messages[:] = [message for message in messages if message["receipt_handle"] not in handles]


def _messages_of(queue: str) -> list[dict[str, Any]]:
    url = sqs._queue_name_to_url.get(queue)
    return sqs._queues[url]["messages"] if url else []


_REPLAY: dict[str, Callable[..., None]] = {"row": _replay_row, "message": _replay_message, "gone": _replay_gone}
