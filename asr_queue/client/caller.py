"""Sends calls over HTTP and repeats what is worth repeating."""

import io
import mimetypes
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, Final, TypeVar

import httpx
import stamina

from asr_queue.client.direct import StoreConnection, is_loopback, save
from asr_queue.client.errors import ApiError, SourceError, TransportError
from asr_queue.client.pacing import RetryPolicy
from asr_queue.client.protocol import Call, as_error, complete_call, presign_call, status_call, upload_call
from asr_queue.client.sources import OnSent, Uploadable, name_of, open_source, telling
from asr_queue.wire.api import PresignAnswer, UploadAnswer

T = TypeVar("T")

_MAX_CONNECTIONS: Final = 32
"""Enough for what `transcribe` does at once; httpx looks at each of them several times a request."""
_CONNECT_TIMEOUT_S: Final = 10.0
_THROUGH_API_MAX_BYTES: Final = 4_000_000
"""A Lambda function takes 6 MB, of which base64 leaves 4.5."""
_NO_PRESIGN: Final = frozenset({404, 405, 501})
"""Answers of a server that knows of no presigned uploads."""
_ONCE: Final = RetryPolicy(retry_for_s=0, room_for_s=0)
_NOT_THE_SERVICE: Final = frozenset({"http_404", "not_found"})
_NO_BATCH: Final = "00000000-0000-0000-0000-000000000000"


class Caller:
    """One server, one key, one pool of connections; used from one event loop.

    Args:
        request_timeout_s: how long one network operation of one try may stand still.

    Raises:
        ValueError: the base URL is not an http(s) URL with a host, or the key cannot stand in a header.
    """

    def __init__(self, base_url: str, api_key: str, *, request_timeout_s: float, retry: RetryPolicy) -> None:
        self._url = _checked_url(base_url)
        self._retry = retry
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"X-API-Key": _checked_key(api_key), "Accept": "application/json, application/problem+json"},
            # Waiting for a free connection is our own doing, not the server's.
            timeout=httpx.Timeout(request_timeout_s, connect=min(_CONNECT_TIMEOUT_S, request_timeout_s), pool=None),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not is_loopback(self._url.host),
        )
        self._store = StoreConnection(timeout=self._http.timeout)

    async def call(
        self, call: Call[T], *, upload: tuple[str, IO[bytes]] | None = None, retry: RetryPolicy | None = None
    ) -> T:
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
        return await self._repeated(partial(self._once, call, upload), retry or self._retry)

    async def _repeated(self, once: Callable[[], Awaitable[T]], policy: RetryPolicy) -> T:
        failures_at_s: list[float] = []

        def wait_s(error: Exception) -> bool | float:
            failures_at_s.append(time.monotonic())
            elapsed_s = failures_at_s[-1] - failures_at_s[0]
            return policy.wait_s(error, failures=len(failures_at_s), elapsed_s=elapsed_s) or False

        async for attempt in stamina.retry_context(on=wait_s, attempts=None, timeout=None):
            with attempt:
                return await once()
        raise AssertionError("a retry loop ends with a return or an error")

    async def upload(
        self, source: Uploadable, *, file_name: str | None = None, on_sent: OnSent | None = None
    ) -> UploadAnswer:
        """Make the first call of the contract, streaming the source from where it is.

        What is too large for a Lambda function goes straight to the store, if the server can arrange that.

        Args:
            on_sent: told from time to time how far it is.

        Raises:
            SourceError: it cannot be read.
        """
        name = file_name or name_of(source)
        with open_source(source) as file:
            size_bytes = file.seek(0, io.SEEK_END)
            file.seek(0)
            if size_bytes > _THROUGH_API_MAX_BYTES and (presigned := await self._presigned(name, size_bytes)):
                return await self._upload_to_store(presigned, name, file, size_bytes, on_sent)
            streamed = telling(file, size_bytes, on_sent) if on_sent else file
            return await self.call(upload_call(), upload=(name, streamed))

    async def _presigned(self, name: str, size_bytes: int) -> PresignAnswer | None:
        """Ask where the bytes go; None where they can only go through the API."""
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        try:
            answer = await self.call(presign_call(name, size_bytes, content_type))
        except ApiError as error:
            if error.status in _NO_PRESIGN:
                return None
            raise
        addresses = [answer.url, *(part.url for part in answer.parts or ())]
        leads_here = any(is_loopback(httpx.URL(address).host) for address in addresses if address)
        # The store of a system on another machine's loopback: here that is somebody else, or nobody.
        return None if leads_here and not is_loopback(self._url.host) else answer

    async def _upload_to_store(
        self, presigned: PresignAnswer, name: str, file: IO[bytes], size_bytes: int, on_sent: OnSent | None
    ) -> UploadAnswer:
        if presigned.url is not None:
            streamed = telling(file, size_bytes, on_sent) if on_sent else file
            post = partial(self._store.post_form, presigned.url, presigned.fields or {}, name, streamed)
            await self._repeated(post, self._retry)
        for part in presigned.parts or ():
            await self._repeated(partial(self._store.put_part, part, name, file), self._retry)
            if on_sent:
                on_sent(part.offset_bytes + part.size_bytes, size_bytes)
        return await self.call(complete_call(presigned.file_id))

    async def download(self, path: str, file: IO[bytes]) -> None:
        """Write what is at a path, or where that leads to, into a file as it comes; from its beginning at every try.

        Raises:
            OSError: the file cannot be written; other errors as `call`.
        """
        await self._repeated(partial(self._download_once, path, file), self._retry)

    async def _download_once(self, path: str, file: IO[bytes]) -> None:
        try:
            async with self._http.stream("GET", path) as response:
                if response.status_code != httpx.codes.TEMPORARY_REDIRECT:
                    await save(response, file)
                    return
        except httpx.HTTPError as error:
            raise self._no_answer(error, "GET", path) from error
        await self._store.save(response.headers["location"], file)

    def _no_answer(self, error: httpx.HTTPError, method: str, path: str) -> TransportError:
        kind = "timed out" if isinstance(error, httpx.TimeoutException) else "no answer"
        reason = f": {error}" if str(error) else ""
        return TransportError(f"{kind} from {self._url} ({method} {path}){reason}")

    async def check_access(self) -> None:
        """Return when the server answers and accepts the key; one try.

        Raises:
            ApiError: it answers, but refuses (401: the key).
            TransportError: it does not answer.
            BadAnswerError: something else answers at this address.
        """
        try:
            await self.call(status_call(_NO_BATCH), retry=_ONCE)
        except ApiError as error:
            # It knows of no such batch: the service. It knows of no such address: whoever answers there.
            if error.status != 404 or error.code in _NOT_THE_SERVICE:
                raise

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._store.aclose()

    async def _once(self, call: Call[T], upload: tuple[str, IO[bytes]] | None) -> T:
        try:
            response = await self._http.request(
                call.method,
                call.path,
                headers=dict(call.headers),
                content=call.body,
                files={"file": upload} if upload else None,
            )
        except httpx.HTTPError as error:
            if upload and isinstance(error, httpx.LocalProtocolError):
                raise SourceError(f"{upload[0]} changed while it was sent") from error
            raise self._no_answer(error, call.method, call.path) from error
        except OSError as error:
            # The network's errors are httpx's own: this is the file.
            raise SourceError(f"cannot read on: {error.strerror or error}") from error
        if call.may_redirect and response.status_code == httpx.codes.TEMPORARY_REDIRECT:
            return call.read(await self._store.get(response.headers["location"]))
        if not response.is_success:
            raise as_error(response.status_code, response.headers, response.content)
        return call.read(response.content)


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is not an address like http://127.0.0.1:8000")
    return url


def _checked_key(api_key: str) -> str:
    key = api_key.strip()  # a key read from a file ends with its line
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("the API key is empty or has characters that no key has")
    return key
