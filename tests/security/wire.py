"""Requests as bytes on a socket: what no HTTP library would send."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE_S = 60.0
"""How long an answer may take; only a hang takes as long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One request, and what it is answered. `$NAME$` in its texts stands for something that the test knows."""

    what: str
    """What is tried, for people: a line of docs/attacks.md."""
    status: int
    code: str | None = None
    """Code of the problem document; None for a success, and where the server answers before the application."""
    method: str = "GET"
    path: str = "/api/v1/health"
    key: str | None = "$KEY$"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    raw: bytes | None = None
    """The whole request, where not even its head is as it should be."""

    def to_bytes(self, known: Mapping[str, str]) -> bytes:
        """Return what goes over the wire."""
        if self.raw is not None:
            return _filled(self.raw, known)
        body = None if self.body is None else _filled(self.body, known)
        head = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        if self.key is not None:
            head.append(f"X-API-Key: {self.key}")
        head += [f"{name}: {value}" for name, value in self.headers]
        if body is not None and not {"content-length", "transfer-encoding"} & {
            name.lower() for name, _ in self.headers
        }:
            head.append(f"Content-Length: {len(body)}")
        return _filled("\r\n".join(head).encode() + b"\r\n\r\n", known) + (body or b"")


def send(address: tuple[str, int], request: bytes, *, then_close: bool = False) -> Answer | None:
    """Send a request and read its answer; None where the server closes without one.

    Args:
        then_close: say that nothing more follows, before the answer is read.
    """
    with socket.create_connection(address, timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(request)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused half way: the answer is there all the same
        return read(connection, method=request.split(b" ")[0].decode(errors="replace"))


def read(connection: socket.socket, *, method: str = "GET") -> Answer | None:
    """Read an answer."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
        body = answer.read()
    except (http.client.BadStatusLine, ConnectionError):
        return None
    finally:
        answer.close()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def form(*parts: tuple[str, bytes], boundary: str = "x", end: bool = True) -> bytes:
    """Return a multipart form: for each part the lines of its head, and its bytes."""
    written = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts]
    return b"".join(written) + (f"--{boundary}--\r\n".encode() if end else b"")


def _filled(text: bytes, known: Mapping[str, str]) -> bytes:
    for name, value in known.items():
        text = text.replace(f"${name}$".encode(), value.encode())
    return text
