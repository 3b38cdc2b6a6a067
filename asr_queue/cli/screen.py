"""What a person or a log sees while recordings are transcribed: a bar on a terminal, plain lines elsewhere.

It goes to standard error; standard output carries transcripts alone.
"""

import sys
from types import TracebackType
from typing import Protocol, Self

import typer
from rich import progress as bars
from rich.console import Console

from asr_queue.cli.printable import printable
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
        """Note new counts; may be called from another thread."""

    def text(self, text: str) -> None:
        """Print to standard output."""

    def done(self, name: str) -> None:
        """Note that a recording is transcribed."""

    def failed(self, name: str, reason: str) -> None:
        """Note that a recording failed."""


def screen(total: int) -> Screen:
    """Return the screen that fits where standard error goes."""
    return Bar(total) if sys.stderr.isatty() else Lines(total)


class Lines:
    """A line for each finished recording; a single one that is done speaks for itself."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._finished = 0

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
        """Count on."""
        self._finished += 1
        if self._total > 1:
            typer.echo(printable(f"[{self._finished}/{self._total}] done {name}"), err=True)

    def failed(self, name: str, reason: str) -> None:
        """Count on."""
        self._finished += 1
        typer.echo(printable(f"[{self._finished}/{self._total}] failed {name}: {reason}"), err=True)


class Bar:
    """A bar that stays below whatever is printed, and is gone at the end."""

    def __init__(self, total: int) -> None:
        self._bar = bars.Progress(
            bars.SpinnerColumn(),
            bars.MofNCompleteColumn(),
            bars.BarColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Self:
        """Draw the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Erase the bar."""
        self._bar.stop()

    def progress(self, counts: Progress) -> None:
        """Move the bar."""
        description = f"{counts.uploaded} uploaded" + (f", {counts.failed} failed" if counts.failed else "")
        self._bar.update(self._task, completed=counts.done + counts.failed, description=description)

    def text(self, text: str) -> None:
        """Print above the bar where both share the terminal."""
        if sys.stdout.isatty():
            self._above(text.removesuffix("\n"))
        else:
            typer.echo(text, nl=False)

    def done(self, name: str) -> None:
        """The bar has moved already."""

    def failed(self, name: str, reason: str) -> None:
        """Print above the bar."""
        self._above(printable(f"failed {name}: {reason}"))

    def _above(self, text: str) -> None:
        self._bar.console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)
