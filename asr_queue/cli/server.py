"""Which server a command speaks to: the one that was named, or the one that runs from this folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import httpx
import typer

from asr_queue.cli.ending import give_up
from asr_queue.client import Client, QueueClientError

DEFAULT_DATA: Final = Path(".asr-queue")
"""The data folder of `asr-queue up`, below the current directory."""
_HEALTH_TIMEOUT_S: Final = 3.0

UrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="ASR_QUEUE_URL",
        help="Where the API is. By default the server that `asr-queue up` runs from this folder.",
    ),
]
KeyOption: TypeAlias = Annotated[
    str | None, typer.Option("--api-key", envvar="ASR_QUEUE_API_KEY", help="The API key; goes with --url.")
]


@dataclass(frozen=True, slots=True)
class Server:
    """An address and the key for it."""

    url: str
    api_key: str
    is_private: bool = False
    """Whether it ends with the command, with all that it keeps."""


def find_server(url: str | None, api_key: str | None) -> Server | None:
    """Return the named server, else the one that runs on the default data folder, else None."""
    if url is None:
        return running_server(DEFAULT_DATA)
    if not api_key:
        give_up(
            "--url needs --api-key (or ASR_QUEUE_API_KEY); "
            f"the key of a server started by `asr-queue up` is in {DEFAULT_DATA / 'api-key'}"
        )
    return Server(url, api_key)


def required_server(url: str | None, api_key: str | None) -> Server:
    """Return the same; without one the command ends."""
    server = find_server(url, api_key)
    if server is None:
        give_up(f"no server is named (--url) and none is running on {DEFAULT_DATA}")
    return server


@contextmanager
def connected(server: Server) -> Iterator[Client]:
    """Yield a client for the block; an address or a key that is none ends the command."""
    try:
        client = Client(server.url, server.api_key)
    except ValueError as error:
        give_up(str(error))
    with client:
        yield client


@contextmanager
def asking(url: str | None, api_key: str | None) -> Iterator[Client]:
    """Yield a client of the server that is meant; what it refuses ends the command."""
    with connected(required_server(url, api_key)) as client:
        try:
            yield client
        except QueueClientError as error:
            give_up(str(error))


def running_server(data: Path) -> Server | None:
    """Return the server whose address and key are in a data folder, if it answers."""
    try:
        server = Server((data / "url").read_text().strip(), (data / "api-key").read_text().strip())
        answer = httpx.get(
            f"{server.url}/api/v1/health",
            headers={"X-API-Key": server.api_key},
            timeout=_HEALTH_TIMEOUT_S,
            trust_env=False,
        )
    # A folder without a server, an address that nobody listens at any more, a half-written file.
    except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL):
        return None
    return server if answer.is_success else None
