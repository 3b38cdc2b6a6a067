"""Requests to receivers that anybody may name: to public addresses, and to nothing else.

A name is resolved here, once; every address that it has must be public, and the connection is made to one of those very
addresses. Nobody resolves it again, so that a second answer of the DNS cannot lead inside.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import Final, TypeAlias

from asr_queue.domain.callbacks import NOWHERE, Callback, is_public, parse_callback
from asr_queue.errors import CallerError

TIMEOUT_S: Final = 10.0
"""Longest that one request may take, from the connection to the status of the answer."""
_MOST_ANSWER_BYTES: Final = 4096
"""Read and forgotten, so that an ordinary receiver sees an orderly end."""

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host, best first; raises OSError where it has none."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpWebhookCaller:
    """WebhookCaller over the standard library's HTTP: no proxy, no redirection, no cookie, certificates checked."""

    def __init__(
        self,
        *,
        trusted: frozenset[str] = NOWHERE,
        resolver: Resolver = resolve,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Make a caller.

        Args:
            trusted: hosts, as `host` or `host:port`, that may be called wherever they are, and by http.
            resolver: what tells addresses.
            timeout_s: longest that one request may take.
            tls: whose certificates are believed; None for the system's.
        """
        self._trusted = trusted
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._tls = tls or ssl.create_default_context()

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str | None]:
        """Send a body to a callback's URL, unless that leads inside."""
        try:
            callback = parse_callback(url, trusted=self._trusted)
            addresses = self._addresses(callback)
            return self._post(callback, addresses, headers, body), None
        except CallerError as error:
            return None, error.message
        except ssl.SSLCertVerificationError as error:
            return None, f"The receiver's certificate is not valid: {error.verify_message}."
        except TimeoutError:
            return None, f"The receiver did not answer within {self._timeout_s:g} s."
        except socket.gaierror:
            return None, "The receiver's host has no address."
        except (OSError, HTTPException) as error:
            return None, f"The connection to the receiver failed: {type(error).__name__}."

    def _addresses(self, callback: Callback) -> Sequence[str]:
        addresses = self._resolver(callback.host, callback.port)
        # Which address is kept to ourselves: it may be a name of somebody's inner network that was tried.
        if not callback.is_trusted and not all(map(is_public, addresses)):
            raise CallerError("callback_not_allowed", "callback_url was not called: its host has an inner address.")
        return addresses

    def _post(self, callback: Callback, addresses: Sequence[str], headers: Mapping[str, str], body: bytes) -> int:
        until_s = time.monotonic() + self._timeout_s
        with (
            self._socket(callback, addresses) as plain,
            self._wrapped(plain, callback) as way,
            _deadline(way, until_s - time.monotonic()) as ran_out,
        ):
            try:
                if isinstance(way, ssl.SSLSocket):
                    way.do_handshake()
                connection = HTTPConnection(callback.host, callback.port)
                connection.sock = way
                named = {"Host": callback.authority, "Connection": "close", **headers}
                connection.request("POST", callback.target, body=body, headers=named)
                answer = connection.getresponse()
                if ran_out.is_set():  # an end among the headers is none to http.client
                    raise TimeoutError
                with suppress(OSError, HTTPException):
                    answer.read(_MOST_ANSWER_BYTES)
            except (OSError, HTTPException):
                if ran_out.is_set():
                    raise TimeoutError from None
                raise
            return answer.status

    def _socket(self, callback: Callback, addresses: Sequence[str]) -> socket.socket:
        """Return a socket that is connected to the first of these addresses that answers, and to no other one."""
        failure = OSError("no address")
        for address in addresses:
            try:
                return socket.create_connection((address, callback.port), timeout=self._timeout_s / len(addresses))
            except OSError as error:
                failure = error
        raise failure

    def _wrapped(self, plain: socket.socket, callback: Callback) -> socket.socket:
        plain.settimeout(self._timeout_s)
        if not callback.is_tls:
            return plain
        return self._tls.wrap_socket(plain, server_hostname=callback.host, do_handshake_on_connect=False)


@contextmanager
def _deadline(way: socket.socket, timeout_s: float) -> Iterator[threading.Event]:
    """End a connection after a time, however slowly its other side goes on; then the event is set.

    A socket's own timeout begins anew with each byte that comes.
    """
    ran_out = threading.Event()

    def end() -> None:
        ran_out.set()
        with suppress(OSError):
            socket.socket.shutdown(way, socket.SHUT_RDWR)  # not TLS's own, which would wait for the other side

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield ran_out
    finally:
        timer.cancel()
