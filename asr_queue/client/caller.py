"""Sends calls over HTTP and repeats what is worth repeating."""

import ipaddress
import ssl
import time
from pathlib import Path
from typing import IO, Final, TypeVar

import httpx
import stamina

from asr_queue.client.errors import QueueClientError, SourceError, TransportError
from asr_queue.client.pacing import RetryPolicy
from asr_queue.client.protocol import Answer, Call, as_error, parse_retry_after
from asr_queue.client.sources import ReadInThread

T = TypeVar("T")

_MAX_CONNECTIONS: Final = 64
_CONNECT_TIMEOUT_S: Final = 10.0


class Caller:
    """One server, one key, one pool of connections; used from one event loop.

    Args:
        request_timeout_s: how long one network operation of one try may stand still.

    Raises:
        ValueError: the base URL is not an http(s) URL with a host.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        request_timeout_s: float,
        retry: RetryPolicy,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        url = _checked(base_url)
        self._url = url
        self._retry = retry
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"X-API-Key": api_key, "Accept": "application/json, application/problem+json"},
            # Waiting for a free connection is our own doing, not the server's.
            timeout=httpx.Timeout(request_timeout_s, connect=min(_CONNECT_TIMEOUT_S, request_timeout_s), pool=None),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            transport=transport,
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not _is_loopback(url.host),
        )

    async def call(
        self, call: Call[T], *, upload: tuple[str, IO[bytes]] | None = None, retry: RetryPolicy | None = None
    ) -> Answer[T]:
        """Send a call until it is answered, as the policy says.

        Args:
            upload: name and content of the multipart field `file`, sent from its beginning at every try.
            retry: another policy than the caller's own, for this call.

        Raises:
            ApiError: the server refused it, or kept saying "try again".
            TransportError: no answer came.
            BadAnswerError: the answer is none of asr-queue's.
            SourceError: the upload could not be read, or changed while it was sent.
        """
        policy = retry or self._retry
        failed_at_s: list[float] = []

        def wait_s(error: Exception) -> bool | float:
            failed_at_s.append(time.monotonic())
            return policy.wait_s(error, elapsed_s=failed_at_s[-1] - failed_at_s[0])

        retries = stamina.retry_context(
            on=wait_s,
            attempts=None,
            timeout=None,
            wait_initial=policy.first_wait_s,
            wait_max=policy.longest_wait_s,
            wait_jitter=policy.first_wait_s,
        )
        async for attempt in retries:
            with attempt:
                return await self._once(call, upload)
        raise AssertionError("a retry loop ends with a return or an error")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _once(self, call: Call[T], upload: tuple[str, IO[bytes]] | None) -> Answer[T]:
        request = self._http.build_request(
            call.method,
            call.path,
            headers=dict(call.headers),
            content=call.body,
            files={"file": upload} if upload else None,
        )
        if upload and isinstance(request.stream, httpx.SyncByteStream):
            request.stream = ReadInThread(request.stream)
        try:
            response = await self._http.send(request)
        except QueueClientError:
            raise
        except httpx.LocalProtocolError as error:
            if upload:
                raise SourceError(f"{Path(upload[0]).name} changed while it was sent") from error
            raise
        except httpx.HTTPError as error:
            raise _as_transport_error(call, self._url, error) from error
        if not response.is_success:
            raise as_error(response.status_code, response.headers, response.content)
        return Answer(call.read(response.content), parse_retry_after(response.headers))


def _checked(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is not an address like http://127.0.0.1:8000")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _as_transport_error(call: Call[T], url: httpx.URL, error: httpx.HTTPError) -> TransportError:
    kind = "timed out" if isinstance(error, httpx.TimeoutException) else "no answer"
    reason = f": {error}" if str(error) else ""
    message = f"{kind} from {url} ({call.method} {call.path}){reason}"
    return TransportError(message, is_retryable=not _is_untrusted(error))


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
