"""An event loop in a thread of its own, so that blocking callers can use what is written for asyncio."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CLEAN_UP_S: Final = 5.0
"""How long an interrupted caller waits for what it started to end."""


class LoopThread:
    """Runs coroutines for other threads; stopped by `stop`, or when nobody holds it any more."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="asr-queue-client", daemon=True)
        thread.start()
        self._stop = weakref.finalize(self, _stop, self._loop, thread)

    @property
    def is_running(self) -> bool:
        """False after `stop`."""
        return self._stop.alive

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return what it returns.

        An interrupt (Ctrl-C) cancels it, waits for its clean-up and goes on to the caller.

        Raises:
            RuntimeError: after `stop`.
        """
        if not self.is_running:
            work.close()
            raise RuntimeError("the client is closed")
        ended = threading.Event()
        future = asyncio.run_coroutine_threadsafe(_noting(work, ended), self._loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
                ended.wait(_CLEAN_UP_S)
            raise

    def stop(self) -> None:
        """End the loop and its thread; a second call does nothing."""
        self._stop()


async def _noting(work: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await work
    finally:
        ended.set()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    # Collected on the loop's own thread, nobody could wait for it.
    if threading.current_thread() is thread:
        loop.stop()
        return
    asyncio.run_coroutine_threadsafe(_end_all(), loop).result(_CLEAN_UP_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_CLEAN_UP_S)
    loop.close()


async def _end_all() -> None:
    loop = asyncio.get_running_loop()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
