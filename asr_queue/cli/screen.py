"""What a person or a log sees while recordings are transcribed: a live picture on a terminal, plain lines elsewhere.

It goes to standard error; standard output carries transcripts alone.
"""

import sys
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console

from asr_queue.cli.live_screen import LiveScreen
from asr_queue.cli.printable import printable
from asr_queue.cli.summary import Summary
from asr_queue.client import Progress


class Screen(Protocol):
    """Shows how far a run has come; entered before it and left after it, however it ends."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def progress(self, counts: Progress) -> None:
        """Note what has moved; may be called from another thread."""

    def text(self, text: str) -> None:
        """Print to standard output."""

    def done(self, name: str) -> None:
        """Tell that a recording is transcribed, once the summary counts it."""

    def failed(self, name: str, reason: str) -> None:
        """Tell that a recording failed, once the summary counts it."""

    def finish(self) -> None:
        """Tell what the run came to; called after the screen was left."""


def screen(summary: Summary) -> Screen:
    """Return the screen that fits where standard error goes."""
    console = Console(stderr=True)
    return LiveScreen(summary, console) if sys.stderr.isatty() and not console.is_dumb_terminal else Lines(summary)


class Lines:
    """A line for each finished recording; a single one that is done speaks for itself."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to restore."""

    def progress(self, counts: Progress) -> None:
        """Lines tell of recordings that are finished, not of those on their way."""

    def text(self, text: str) -> None:
        """Print at once, so that a reader behind a pipe sees transcripts as they come."""
        typer.echo(text, nl=False)

    def done(self, name: str) -> None:
        """Tell of one among several."""
        if self._summary.total > 1:
            self._tell(f"done {name}")

    def failed(self, name: str, reason: str) -> None:
        """Tell why."""
        self._tell(f"failed {name}: {reason}")

    def finish(self) -> None:
        """A line of counts."""
        typer.echo(self._summary.line(), err=True)

    def _tell(self, what: str) -> None:
        typer.echo(printable(f"[{self._summary.finished}/{self._summary.total}] {what}"), err=True)
