"""Large files, straight between this machine and the store, by addresses that the server signed."""

import ipaddress
from collections.abc import Mapping
from typing import IO, Any

import httpx

from asr_queue.client.errors import SourceError, TransportError
from asr_queue.client.protocol import as_error
from asr_queue.wire.api import PresignedPart


class StoreConnection:
    """Speaks to the store, which is given no key: the address is the right. Used from one event loop."""

    def __init__(self, *, timeout: httpx.Timeout) -> None:
        self._timeout = timeout
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def post_form(self, url: str, fields: Mapping[str, str], name: str, file: IO[bytes]) -> None:
        """Send a whole file, from its beginning.

        Raises:
            ApiError: the store refused it.
            TransportError: no answer came.
            SourceError: the file could not be read, or changed while it was sent.
        """
        file.seek(0)
        # Fields first: the store does not read what comes after the file.
        await self._send("POST", url, name, data=dict(fields), files={"file": (name, file)})

    async def put_part(self, part: PresignedPart, name: str, file: IO[bytes]) -> None:
        """Send a part of a file; errors as above."""
        file.seek(part.offset_bytes)
        data = file.read(part.size_bytes)
        if len(data) != part.size_bytes:
            raise SourceError(f"{name} changed while it was sent")
        await self._send("PUT", part.url, name, content=data)

    async def get(self, url: str) -> bytes:
        """Return what is at an address; errors as above."""
        return await self._send("GET", url, url)

    async def save(self, url: str, file: IO[bytes]) -> None:
        """Write what is at an address into a file as it comes, from its beginning.

        Raises:
            OSError: the file cannot be written; other errors as above.
        """
        host = httpx.URL(url).host
        try:
            async with self._client(host).stream("GET", url) as response:
                await save(response, file)
        except httpx.HTTPError as error:
            raise TransportError(f"no answer from the store at {host}: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _send(self, method: str, url: str, name: str, **request: Any) -> bytes:
        host = httpx.URL(url).host
        try:
            response = await self._client(host).request(method, url, **request)
        except httpx.LocalProtocolError as error:
            raise SourceError(f"{name} changed while it was sent") from error
        except httpx.HTTPError as error:
            # Not the whole address: it is a right.
            raise TransportError(f"no answer from the store at {host}: {type(error).__name__}") from error
        except OSError as error:
            raise SourceError(f"cannot read on: {error.strerror or error}") from error
        if not response.is_success:
            raise as_error(response.status_code, response.headers, response.content)
        return response.content

    def _client(self, host: str) -> httpx.AsyncClient:
        # A proxy from the environment cannot reach this machine's loopback.
        by_proxy = not is_loopback(host)
        if by_proxy not in self._clients:
            self._clients[by_proxy] = httpx.AsyncClient(timeout=self._timeout, trust_env=by_proxy)
        return self._clients[by_proxy]


async def save(response: httpx.Response, file: IO[bytes]) -> None:
    """Write the body of an answer into a file as it comes, from the file's beginning.

    Raises:
        ApiError: it is not a good answer.
        OSError: the file cannot be written.
    """
    if not response.is_success:
        raise as_error(response.status_code, response.headers, await response.aread())
    file.seek(0)
    file.truncate()
    async for chunk in response.aiter_bytes():
        file.write(chunk)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
