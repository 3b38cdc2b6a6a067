"""A run over recordings, followed on a terminal: one bar for all, and a line each for the files under way."""

import heapq
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from asr_queue.cli.amounts import clock, rate
from asr_queue.cli.printable import printable
from asr_queue.cli.summary import Summary
from asr_queue.client import FileProgress, FileState, Progress
from asr_queue.client.protocol import displayable

_MAX_FILES_SHOWN: Final = 8
_OTHER_LINES: Final = 4
"""The bar, the counts, and room for what is printed above."""
_REFRESHES_A_SECOND: Final = 8
_SHOWN_FIRST: Final = (
    FileState.PROCESSING,
    FileState.FETCHING,
    FileState.UPLOADING,
    FileState.QUEUED,
    FileState.UPLOADED,
)
_SUBMITTED: Final = frozenset({FileState.QUEUED, FileState.PROCESSING, FileState.FETCHING})
_BESIDE_A_NAME: Final = 38
"""Columns of its line that a name cannot have."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    file: FileProgress
    since_s: float
    """When it came into its state (monotonic)."""


class LiveScreen:
    """Stays below whatever is printed, and is gone at the end; then a table says what the run came to.

    Args:
        summary: what is finished; whoever runs the screen keeps it.
        console: standard error, a terminal.
    """

    def __init__(self, summary: Summary, console: Console) -> None:
        self._summary = summary
        self._console = console
        self._audio_s = 0.0
        self._ends_at_s: float | None = None
        """When what is submitted will be finished, as the server expects (monotonic)."""
        self._began_s = time.monotonic()
        self._under_way: dict[int, _UnderWay] = {}
        self._lock = threading.Lock()
        """The client's thread notes what moves, the screen's own thread draws it."""
        self._bar = ProgressBar(total=summary.total)
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console,
            get_renderable=self._drawn,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Erase everything and give the cursor back."""
        self._live.stop()

    def progress(self, counts: Progress) -> None:
        """Note which file has moved."""
        file = counts.file
        if file is None:
            return
        with self._lock:
            self._audio_s = counts.audio_s
            self._ends_at_s = None if counts.seconds_left is None else time.monotonic() + counts.seconds_left
            before = self._under_way.pop(file.number, None)
            if not file.state.is_final:
                has_stayed = before is not None and before.file.state is file.state
                since_s = before.since_s if before and has_stayed else time.monotonic()
                self._under_way[file.number] = _UnderWay(file, since_s)

    def text(self, text: str) -> None:
        """Print above the bar where both share the terminal."""
        if sys.stdout.isatty():
            self._above(text.removesuffix("\n"))
        else:
            typer.echo(text, nl=False)

    def done(self, name: str) -> None:
        """The bar moves, and the transcript speaks for itself."""

    def failed(self, name: str, reason: str) -> None:
        """Print above the bar."""
        self._above(printable(f"failed {name}: {reason}"))

    def finish(self) -> None:
        """Say what the run came to."""
        self._console.print(self._summary.table(), markup=False, highlight=False, emoji=False)

    # -- drawing, on the screen's own thread ----------------------------------------------------------------------

    def _drawn(self) -> RenderableType:
        with self._lock:
            under_way = list(self._under_way.values())
            audio_s, ends_at_s = self._audio_s, self._ends_at_s
        room = max(0, self._console.height - _OTHER_LINES)
        now_s = time.monotonic()
        shown = heapq.nsmallest(min(room, _MAX_FILES_SHOWN), under_way, key=_place)
        picture = Group(
            self._total(now_s - self._began_s, audio_s, self._left_s(now_s, under_way, ends_at_s)),
            _counts(under_way),
            _files(shown, now_s, room=self._console.width - _BESIDE_A_NAME),
        )
        # A terminal that echoes ^C at the end of a full line would begin another, and that one would stay.
        return Constrain(picture, self._console.width - len("^C"))

    def _left_s(self, now_s: float, under_way: list[_UnderWay], ends_at_s: float | None) -> float | None:
        """Return what the server expects once all that is left is submitted; before that, at least that.

        Until then, and where it expects nothing, each file is taken to need as long as those that are finished did.
        """
        finished, left = self._summary.finished, self._summary.total - self._summary.finished
        by_files_s = (now_s - self._began_s) / finished * left if finished else None
        if ends_at_s is None:
            return by_files_s
        by_server_s = max(0.0, ends_at_s - now_s)
        submitted = sum(entry.file.state in _SUBMITTED for entry in under_way)
        return by_server_s if by_files_s is None or submitted >= left else max(by_server_s, by_files_s)

    def _total(self, elapsed_s: float, audio_s: float, left_s: float | None) -> RenderableType:
        finished, total = self._summary.finished, self._summary.total
        self._bar.update(completed=finished)
        line = Table.grid(padding=(0, 1), expand=True)
        for _ in range(2):
            line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        told = [clock(elapsed_s), "left " + ("-" if left_s is None else clock(left_s))]
        if audio_s:
            told.append(rate(audio_s, elapsed_s))
        line.add_row(self._spinner, Text(f"{finished}/{total}"), self._bar, Text("  ".join(told)))
        return line

    def _above(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)


def _place(entry: _UnderWay) -> tuple[int, float]:
    """Sort by what is nearest to its end, then by who came first: so a line stays where it is."""
    return _SHOWN_FIRST.index(entry.file.state), entry.since_s


def _counts(under_way: list[_UnderWay]) -> Text:
    counts = Counter(entry.file.state for entry in under_way)
    return Text("  ".join(f"{counts[state]} {state}" for state in FileState if counts[state]), style="dim")


def _files(shown: list[_UnderWay], now_s: float, *, room: int) -> Table:
    lines = Table.grid(padding=(0, 2), expand=True)
    lines.add_column(no_wrap=True, style="cyan")
    lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    lines.add_column(no_wrap=True, justify="right")
    for entry in shown:
        file = entry.file
        if file.state is FileState.UPLOADING and file.size_bytes:
            how_far = f"{decimal(file.sent_bytes)} of {decimal(file.size_bytes)}"
        else:
            how_far = clock(now_s - entry.since_s)
        lines.add_row(f"  {file.state}", Text(_end_of(printable(displayable(str(file.path))), room)), how_far)
    return lines


def _end_of(name: str, room: int) -> str:
    """Return a name in `room` characters: its end, which tells files of one folder apart."""
    return name if len(name) <= room else "…" + name[1 - room :] if room > 1 else ""
