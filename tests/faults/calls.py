"""Calls of AWS as they go over the wire: what is asked, what is answered, and what AWS says when it fails."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_TARGETS = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to AWS."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def service(self) -> str:
        return _TARGETS.get(self.headers.get("x-amz-target", "").partition(".")[0], "s3")

    @property
    def action(self) -> str:
        """The API's name of what is asked for."""
        target = self.headers.get("x-amz-target")
        if target is not None:
            return target.rpartition(".")[2]
        query = urlsplit(self.path).query
        if self.method == "POST" and query.startswith("delete"):
            return "DeleteObjects"
        if self.method == "GET" and "list-type=2" in query:
            return "ListObjectsV2"
        return f"{self.method.title()}Object"

    @property
    def object_key(self) -> str:
        """Of a call that names one object."""
        return urlsplit(self.path).path.lstrip("/").partition("/")[2]

    def asked(self) -> dict[str, Any]:
        """Return the body of a call to a service that speaks JSON."""
        return dict(json.loads(self.body))

    def with_body(self, asked: dict[str, Any]) -> "Call":
        return Call(self.method, self.path, self.headers, json.dumps(asked).encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of AWS."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    is_to_head: bool = False
    """Then `content-length` is of the object, and no body follows."""

    def told(self) -> dict[str, Any]:
        """Return the body of an answer in JSON."""
        return dict(json.loads(self.body)) if self.body else {}

    def with_body(self, told: dict[str, Any]) -> "Answer":
        return Answer(self.status, self.headers, json.dumps(told).encode())

    def packed(self) -> bytes:
        headers = dict(self.headers)
        headers.pop("transfer-encoding", None)
        if not self.is_to_head:
            headers["content-length"] = str(len(self.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} -\r\n{lines}\r\n".encode("latin-1") + self.body


async def read_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call | None:
    """Return the next call on a connection, None where it has ended."""
    try:
        first, headers = await _read_head(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, path, _ = first.split(" ", 2)
    if headers.pop("expect", "") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(method, path, headers, body)


async def ask(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    """Make a call on a connection to AWS."""
    headers = call.headers | {"content-length": str(len(call.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"{call.method} {call.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + call.body)
    await writer.drain()
    first, answered = await _read_head(reader)
    status = int(first.split(" ", 2)[1])
    if call.method == "HEAD" or status in (204, 304):
        return Answer(status, answered, b"", is_to_head=call.method == "HEAD")
    if answered.get("transfer-encoding") == "chunked":
        return Answer(status, answered, await _read_chunks(reader))
    return Answer(status, answered, await reader.readexactly(int(answered.get("content-length", "0"))))


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def throttled(call: Call) -> Answer:
    """Return how the service says "too fast"; to a transaction it says that another one was in the way."""
    if call.service == "s3":
        return _s3_failure(503, "SlowDown", call)
    if call.action == "TransactWriteItems":
        reasons = [{"Code": "None"} for _ in call.asked()["TransactItems"]]
        reasons[0] = {"Code": "TransactionConflict"}
        return _json_failure(400, "TransactionCanceledException", {"CancellationReasons": reasons})
    if call.service == "sqs":
        return _json_failure(403, "RequestThrottled", {})
    return _json_failure(400, "ProvisionedThroughputExceededException", {})


def failed(call: Call) -> Answer:
    """Return how the service says that it does not know what has gone wrong."""
    if call.service == "s3":
        return _s3_failure(500, "InternalError", call)
    return _json_failure(500, "InternalServerError" if call.service == "dynamodb" else "InternalFailure", {})


def _json_failure(status: int, code: str, more: dict[str, Any]) -> Answer:
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{code};Sender"}
    return Answer(status, headers, json.dumps({"__type": code, "message": "by the lab", **more}).encode())


def _s3_failure(status: int, code: str, call: Call) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>by the lab</Message></Error>".encode()
    headers = {"content-type": "application/xml"}
    if call.method == "HEAD":
        return Answer(status, headers | {"content-length": "0"}, b"", is_to_head=True)
    return Answer(status, headers, body)
