"""The contract on a real socket, and a script of what goes wrong: to see how a client takes it.

It speaks the contract's required fields, and beyond them what a test tells it. A recording's transcript
is its own bytes as text; bytes that begin with `bad` make the item an error.
"""

import json
import socket
import struct
import sys
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Step = Literal["upload", "submit", "status", "fetch", "queue", "batches"]
KEY = "asrq_test"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error."""

    status: int
    code: str = "service_unavailable"
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection, before or after the request took effect."""

    after_effect: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Plain:
    """Answer 200 with something that is none of the contract's."""

    body: bytes = b"<html>Welcome</html>"


Fault = Refuse | Reset | Slow | Plain


@dataclass(eq=False)
class ContractServer:
    """What was asked of the server, and what it is to do wrong."""

    url: str = ""
    polls_to_finish: int = 1
    """A batch is finished at this poll: queued at the first before it, processing at those between."""
    faults: dict[Step, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[Step, Fault] = field(default_factory=dict)
    calls: list[tuple[Step, float]] = field(default_factory=list)
    """Every request that came, and when (monotonic seconds)."""
    uploads: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Name and bytes by file id."""
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Answers to submits by Idempotency-Key."""
    beyond: dict[str, Any] = field(default_factory=dict)
    """What a status says beyond the contract."""
    beyond_of_items: list[dict[str, Any]] = field(default_factory=list)
    """The same of each item, by its place."""
    queue: dict[str, Any] | None = None
    """How the queue is; None where the server is too old to tell."""
    listed: list[dict[str, Any]] | None = None
    """The batches that a list has; None where the server has no list."""
    most_at_once: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _running: int = 0

    def script(self, step: Step, *faults: Fault) -> None:
        """Let the next requests of a step go wrong, one after the other."""
        self.faults[step].extend(faults)

    def times(self, step: Step) -> list[float]:
        """Return when requests of a step came."""
        return [at for name, at in self.calls if name == step]

    def fault(self, step: Step) -> Fault | None:
        with self.lock:
            self.calls.append((step, time.monotonic()))
            return self.faults[step].popleft() if self.faults[step] else self.always.get(step)

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        file_id = str(uuid.uuid4())
        self.uploads[file_id] = (name, data)
        return {"file_id": file_id}

    def submit(self, body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        with self.lock:
            if idempotency_key in self.answers:
                return self.answers[idempotency_key]
            unknown = [i for i, item in enumerate(body["items"]) if item["ref_audio"] not in self.uploads]
            if unknown:
                raise _RefusedError(Refuse(404, "file_not_found"))
            batch_id = str(uuid.uuid4())
            item_ids = [str(uuid.uuid4()) for _ in body["items"]]
            self.batches[batch_id] = {**body, "item_ids": item_ids, "polls": 0}
            answer = {"batch_id": batch_id, "total_items": len(item_ids), "item_ids": item_ids, "status": "queued"}
            if idempotency_key:
                self.answers[idempotency_key] = answer
            return answer

    def status(self, batch_id: str) -> dict[str, Any]:
        with self.lock:
            if batch_id not in self.batches:
                raise _RefusedError(Refuse(404, "batch_not_found"))
            batch = self.batches[batch_id]
            batch["polls"] += 1
            is_finished = batch["polls"] >= self.polls_to_finish
            unfinished = "queued" if batch["polls"] == 1 else "processing"
        items = []
        for item, item_id in zip(batch["items"], batch["item_ids"], strict=True):
            is_bad = self.uploads[item["ref_audio"]][1].startswith(b"bad")
            state = unfinished if not is_finished else "error" if is_bad else "done"
            items.append(
                {
                    "item_id": item_id,
                    "custom_id": item.get("custom_id"),
                    "status": state,
                    "url": f"/api/v1/files/queue_transcribe_{item_id}.json" if state == "done" else None,
                    "error": "Invalid audio format: not audio" if state == "error" else None,
                }
            )
        for item, told in zip(items, self.beyond_of_items, strict=False):
            item.update(told)
        done, failed = (sum(item["status"] == state for item in items) for state in ("done", "error"))
        status = unfinished if not is_finished else "completed" if not failed else "partial" if done else "error"
        return self.beyond | {
            "batch_id": batch_id,
            "label": batch["label"],
            "status": status,
            "completed": done,
            "failed": failed,
            "total": len(items),
            "items": items,
        }

    def fetch(self, name: str) -> dict[str, Any]:
        item_id = name.removeprefix("queue_transcribe_").removesuffix(".json")
        for batch in self.batches.values():
            if item_id in batch["item_ids"]:
                item = batch["items"][batch["item_ids"].index(item_id)]
                text = self.uploads[item["ref_audio"]][1].decode()
                words = [{"start": i, "end": i + 0.5, "text": word} for i, word in enumerate(text.split())]
                answer: dict[str, Any] = {"text": text, "language": "English"}
                return {**answer, "timestamps": words} if item["return_timestamps"] else answer
        raise _RefusedError(Refuse(404, "file_not_found"))

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            yield
        finally:
            with self.lock:
                self._running -= 1


@contextmanager
def serving(port: int = 0) -> Iterator[ContractServer]:
    """Run a server on a port of the loopback, a free one by default, until the block ends."""
    server = ContractServer()

    class Bound(_Handler):
        contract = server

    class Quick(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # clients that leave are part of the tests
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    http = Quick(("127.0.0.1", port), Bound)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _RefusedError(Exception):
    def __init__(self, answer: Refuse) -> None:
        super().__init__(answer.code)
        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    contract: ContractServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        last = self.path.rpartition("/")[2]
        if self.path == "/api/v1/health":
            self._send(200, {"status": "ok"})
        elif self.path.startswith("/api/v1/queue/status/"):
            self._answer("status", last, b"")
        elif self.path == "/api/v1/queue" and self.contract.queue is not None:
            self._answer("queue", "", b"")
        elif self.path.startswith("/api/v1/queue/batches?") and self.contract.listed is not None:
            self._answer("batches", "", b"")
        elif self.path.startswith("/api/v1/files/"):
            self._answer("fetch", last, b"")
        else:
            self._send(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("upload" if self.path == "/api/v1/files/upload" else "submit", "", body)

    def _answer(self, step: Step, name: str, body: bytes) -> None:
        with self.contract.counted():
            fault = self.contract.fault(step)
            try:
                if self.headers.get("X-API-Key") != KEY:
                    raise _RefusedError(Refuse(401, "unauthorized"))
                match fault:
                    case Refuse():
                        raise _RefusedError(fault)
                    case Reset(after_effect=False):
                        return self._reset()
                    case Slow(seconds):
                        time.sleep(seconds)
                    case Plain(body=text):
                        return self._send(200, text)
                answer = self._effect(step, name, body)
                if isinstance(fault, Reset):
                    return self._reset()
                self._send(200, answer)
            except _RefusedError as error:
                problem = {"type": "about:blank", "title": "No", "status": error.answer.status, "code": str(error)}
                self._send(error.answer.status, {**problem, "detail": f"refused: {error}"}, error.answer.retry_after_s)

    def _effect(self, step: Step, name: str, body: bytes) -> dict[str, Any]:
        match step:
            case "upload":
                head, _, rest = body.partition(b"\r\n\r\n")
                file_name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
                assert b'name="file"' in head
                return self.contract.upload(file_name, rest.rpartition(b"\r\n--")[0])
            case "submit":
                return self.contract.submit(json.loads(body), self.headers.get("Idempotency-Key"))
            case "status":
                return self.contract.status(name)
            case "fetch":
                return self.contract.fetch(name)
            case "queue":
                return self.contract.queue or {}
            case "batches":
                return {"batches": self.contract.listed, "next_cursor": None}

    def _send(self, status: int, answer: dict[str, Any] | bytes, retry_after_s: int | None = None) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Lingering for no time makes the close a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
