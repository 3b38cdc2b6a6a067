"""Waiting for a change of a batch: a look, a pause, a look, and nothing held meanwhile but the connection."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from asr_queue.wire.api import StatusAnswer

MAX_WAIT_S: Final = 20
"""An API in Lambda ends after 29 seconds, and proxies like to after 30."""
_FIRST_PAUSE_S: Final = 0.3
_LONGEST_PAUSE_S: Final = 1.5
_GROWTH: Final = 1.3
_ALSO_A_CHANGE_OF_TIME: Final = {"estimate", "audio_s"}
"""What moves though nothing has happened: no reason to wake anybody."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch at one instant, ready to be sent."""

    etag: str
    is_finished: bool
    body: str


def seen(answer: StatusAnswer) -> Seen:
    """Return an answer with its tag, which is another one exactly where anything has happened to the batch."""
    state = answer.model_dump_json(exclude=_ALSO_A_CHANGE_OF_TIME)
    digest = hashlib.sha256(state.encode()).hexdigest()
    return Seen(etag=f'W/"{digest[:32]}"', is_finished=answer.is_finished, body=answer.model_dump_json())


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether a tag is among those of an If-None-Match header."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


async def wait_for_change(
    look: Callable[[], StatusAnswer], request: Request, *, wait_s: float, if_none_match: str | None
) -> Seen:
    """Return the batch once it differs from what the client knows, or `wait_s` seconds have passed.

    What the client knows is what it names, or else the batch as it is at the first look. A finished batch changes no
    more and is returned at once; and so is one whose client has gone. No thread is held between two looks.
    """
    until_s = time.monotonic() + wait_s
    batch = await run_in_threadpool(lambda: seen(look()))
    known = batch.etag if if_none_match is None else if_none_match
    pause_s = _FIRST_PAUSE_S
    gone = asyncio.Event()
    watching = asyncio.create_task(_watch(request, gone))
    try:
        while not batch.is_finished and is_known(batch.etag, known):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or gone.is_set():
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), min(pause_s, left_s))
            pause_s = min(pause_s * _GROWTH, _LONGEST_PAUSE_S)
            batch = await run_in_threadpool(lambda: seen(look()))
    finally:
        watching.cancel()
    return batch


async def _watch(request: Request, gone: asyncio.Event) -> None:
    """Set `gone` when the client goes. `Request.is_disconnected` never sees that behind a middleware of functions."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
