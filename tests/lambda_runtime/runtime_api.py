"""Lambda's side of a function: hands invocations to one runtime client, and takes what it answers.

The calls are those of the Lambda developer guide, "Using the Lambda runtime API": `/runtime/invocation/next`, its
`/response` and `/error`, and `/runtime/init/error`.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any
from uuid import uuid4

REQUEST_LIMIT_BYTES = 6_291_456
RESPONSE_LIMIT_BYTES = 6_291_556
"""What Lambda's own refusals name: 6 MB, and 100 bytes more on the way back."""
POLL_S = 0.02
"""How often a server looks whether it is to end; its standard library's half a second adds up."""
_PREFIX = "/2018-06-01/runtime/"
_CLOSE = object()


class FunctionError(Exception):
    """The function failed; the invoker sees type and message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class EnvironmentLostError(FunctionError):
    """The function failed, and its process is of no more use."""


class PayloadTooLargeError(Exception):
    """Lambda refused the event before any function saw it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """An event on its way through the function."""

    payload: bytes
    deadline_at_s: float
    """Wall clock; the function is told."""
    request_id: str = field(default_factory=lambda: str(uuid4()))
    answer: "Future[bytes]" = field(default_factory=Future)


class QuickHandler(BaseHTTPRequestHandler):
    """Keeps connections, and sends small answers at once (Nagle's algorithm costs 40 ms each)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self) -> bytes:
        """Return the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answer the request."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


class RuntimeApi:
    """The Runtime API for one process of a function."""

    def __init__(self, *, arn: str, on_init_error: Callable[[EnvironmentLostError], None]) -> None:
        """Listen on a free port of this machine.

        Args:
            arn: the function's name, as it is told.
            on_init_error: called when the handler could not be imported.
        """
        self._waiting: SimpleQueue[Any] = SimpleQueue()
        self._running: dict[str, Invocation] = {}
        self._arn = arn
        self._on_init_error = on_init_error
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(POLL_S,), name="runtime-api", daemon=True).start()

    @property
    def address(self) -> str:
        """What the runtime client finds in AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def hand_over(self, invocation: Invocation) -> None:
        """Queue an invocation for the runtime client."""
        self._running[invocation.request_id] = invocation
        self._waiting.put(invocation)

    def close(self) -> None:
        """Stop listening; a client that waits for an invocation loses its connection."""
        self._waiting.put(_CLOSE)
        self._server.shutdown()
        self._server.server_close()

    def _answered(self, request_id: str, body: bytes) -> HTTPStatus:
        invocation = self._running.pop(request_id)
        if len(body) > RESPONSE_LIMIT_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes)."
            invocation.answer.set_exception(EnvironmentLostError("Function.ResponseSizeTooLarge", message))
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        invocation.answer.set_result(body)
        return HTTPStatus.ACCEPTED

    def _failed(self, request_id: str, body: bytes) -> None:
        self._running.pop(request_id).answer.set_exception(FunctionError(*_error(body)))

    def _handler(self) -> type[QuickHandler]:
        api = self

        class Handler(QuickHandler):
            def do_GET(self) -> None:
                assert self.path == _PREFIX + "invocation/next"
                invocation = api._waiting.get()
                if invocation is _CLOSE:
                    self.close_connection = True
                    return
                headers = {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline_at_s * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": api._arn,
                    "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]};Sampled=0",
                }
                self.reply(HTTPStatus.OK, invocation.payload, headers)

            def do_POST(self) -> None:
                body = self.body()
                status = HTTPStatus.ACCEPTED
                if self.path == _PREFIX + "init/error":
                    api._on_init_error(EnvironmentLostError(*_error(body)))
                else:
                    request_id, what = self.path.removeprefix(_PREFIX + "invocation/").split("/")
                    if what == "response":
                        status = api._answered(request_id, body)
                    else:
                        api._failed(request_id, body)
                self.reply(status, b'{"status":"OK"}' if status is HTTPStatus.ACCEPTED else b"{}")

        return Handler


def _error(body: bytes) -> tuple[str, str]:
    told = json.loads(body)
    return told["errorType"], told["errorMessage"]
