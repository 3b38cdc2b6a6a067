"""`asr-queue watch`."""

import asyncio
import json
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from asr_queue.cli.amounts import clock
from asr_queue.cli.ending import cleaning_up_when_terminated, give_up
from asr_queue.cli.keyboard import pressed, single_keys
from asr_queue.cli.printable import printable
from asr_queue.cli.queue_picture import Snapshot, lines, picture
from asr_queue.cli.server import KeyOption, Server, UrlOption, required_server
from asr_queue.client import ApiError, AsyncClient, BatchAnswer, QueueClientError, RetryPolicy

_EVERY_S: Final = 2.0
_REFRESHES_A_SECOND: Final = 2
_PATIENCE_S: Final = 10.0
"""For one answer: a person watches."""
_ONE_TRY: Final = RetryPolicy(retry_for_s=0, room_for_s=0)
_NO_LIST: Final = frozenset({404, 405})
_REFUSED: Final = frozenset({401, 403})
_NEWEST_BATCHES: Final = 100
"""Are looked at: a page of the list."""


def watch(
    url: UrlOption = None,
    api_key: KeyOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print what there is now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON; implies --once.")] = False,
) -> None:
    """Follow the queue, its workers and your batches, until q or Ctrl-C.

    Where standard output is no terminal, it is printed once.
    """
    server = required_server(url, api_key)
    console = Console()
    is_live = sys.stdout.isatty() and not console.is_dumb_terminal and not once and not as_json
    try:
        if is_live:
            with cleaning_up_when_terminated():
                asyncio.run(_follow(server, console))
            return
        snapshot = asyncio.run(_once(server))
    except (QueueClientError, ValueError) as error:
        give_up(str(error))
    typer.echo(_as_json(snapshot) if as_json else "\n".join(lines(snapshot)))


def _as_json(snapshot: Snapshot) -> str:
    """Return the server's two answers in one document."""
    batches = (
        snapshot.batches if snapshot.batches is None else [batch.model_dump(mode="json") for batch in snapshot.batches]
    )
    return json.dumps({"queue": snapshot.queue.model_dump(mode="json"), "batches": batches}, ensure_ascii=False)


def _client(server: Server) -> AsyncClient:
    return AsyncClient(server.url, server.api_key, request_timeout_s=_PATIENCE_S, retry=_ONE_TRY)


async def _once(server: Server) -> Snapshot:
    async with _client(server) as client:
        return await _look(client)


async def _look(client: AsyncClient) -> Snapshot:
    queue = await client.queue()
    try:
        newest = await _newest(client)
    except ApiError as error:
        if error.status not in _NO_LIST:
            raise
        return Snapshot(queue, None)
    return Snapshot(queue, [batch for batch in newest if batch.completed + batch.failed < batch.total])


async def _newest(client: AsyncClient) -> list[BatchAnswer]:
    found: list[BatchAnswer] = []
    async with aclosing(client.list_batches()) as listed:
        async for batch in listed:
            found.append(batch)
            if len(found) == _NEWEST_BATCHES:
                break
    return found


@dataclass(slots=True)
class _View:
    """What the screen shows; the screen's own thread draws it."""

    server: Server
    console: Console
    snapshot: Snapshot
    seen_at_s: float = field(default_factory=time.monotonic)
    trouble: str = ""
    """Why the last look failed; empty where it did not."""

    def drawn(self) -> RenderableType:
        """Draw it for the terminal's present size."""
        if self.trouble:
            age = clock(time.monotonic() - self.seen_at_s)
            news = Text(f"as it was {age} ago; trying again: {printable(self.trouble)}", style="bold red")
        else:
            news = Text(f"{self.server.url}   q ends", style="dim")
        news.no_wrap, news.overflow = True, "ellipsis"
        below = picture(self.snapshot, width=self.console.width, height=self.console.height - 2)
        return Group(news, Text(), below)


async def _follow(server: Server, console: Console) -> None:
    """Show what the server says until a key ends it; a server that does not answer is asked again.

    Raises:
        QueueClientError: the first look failed, or the key is refused.
    """
    async with _client(server) as client:
        view = _View(server, console, await _look(client))
        drawing = Live(console=console, get_renderable=view.drawn, refresh_per_second=_REFRESHES_A_SECOND, screen=True)
        with single_keys() as has_keys, drawing:
            endings = {asyncio.create_task(_keep_looking(client, view))}
            if has_keys:
                endings.add(asyncio.create_task(_quit_key()))
            ended, running = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for task in ended:
                task.result()


async def _quit_key() -> None:
    """Return when q is pressed, or nobody is left to press it."""
    is_over = asyncio.Event()

    def heed() -> None:
        keys = pressed()
        if not keys or "q" in keys.lower():
            is_over.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, heed)
    try:
        await is_over.wait()
    finally:
        loop.remove_reader(sys.stdin)


async def _keep_looking(client: AsyncClient, view: _View) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            view.snapshot = await _look(client)
        except QueueClientError as error:
            if isinstance(error, ApiError) and error.status in _REFUSED:
                raise
            view.trouble = str(error)
        else:
            view.seen_at_s, view.trouble = time.monotonic(), ""
