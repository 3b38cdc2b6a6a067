"""How a command ends when it does not end well.

0   done
1   something failed: a recording, a check
2   nothing could be done: wrong arguments, no server, a refused key
130 interrupted (Ctrl-C), 143 terminated
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import typer

SOME_FAILED: Final = 1
NOTHING_DONE: Final = 2


def give_up(message: str) -> NoReturn:
    """End the command: nothing could be done, and this is why."""
    typer.echo(f"asr-queue: {message}", err=True)
    raise typer.Exit(NOTHING_DONE)


@contextmanager
def cleaning_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave every `with` block on their way out, as Ctrl-C does."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    # What is ignored stays ignored: that is how nohup works.
    heeded = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
