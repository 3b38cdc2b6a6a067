"""What a run over many recordings came to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asr_queue.cli.amounts import clock, rate
from asr_queue.cli.printable import printable

_MAX_FAILURES_SHOWN: Final = 20
"""More than fit a screen help nobody; each was told when it came."""

_MAX_BATCHES_SHOWN: Final = 5


@dataclass(slots=True)
class Summary:
    """Counts of a run over `total` recordings, so far."""

    total: int
    shows_batches: bool = True
    """Whether they outlive the run, so that their ids are of use."""
    done: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason."""
    audio_s: float = 0.0
    """Of what is done, as far as the server tells; so are the two below, failures included, and 0 where it does not."""
    device_s: float = 0.0
    cost_usd: float = 0.0
    took_s: float = 0.0
    batches: dict[str, None] = field(default_factory=dict)
    """Ids of the batches that the recordings were in, in the order in which they were first heard of."""

    @property
    def finished(self) -> int:
        """How many recordings are done or failed."""
        return self.done + len(self.failures)

    def line(self) -> str:
        """Return all of it in a line, but for the failures."""
        audio = (
            f"; {self.audio_s:.1f} s of audio in {self.took_s:.1f} s" if self.audio_s else f" in {self.took_s:.1f} s"
        )
        speed = f", {rate(self.audio_s, self.took_s)}" if self.audio_s else ""
        device = f"; {self.device_s:.1f} device s" if self.device_s else ""
        cost = f"; {self.cost_usd:.4f} USD" if self.cost_usd else ""
        return f"{self.done} done, {len(self.failures)} failed{audio}{speed}{device}{cost}"

    def table(self) -> RenderableType:
        """Return it as a table, with the first failures and their reasons below."""
        counts = Table.grid(padding=(0, 2))
        counts.add_column(style="dim")
        counts.add_column()
        for name, value in self._rows():
            counts.add_row(name, value)
        if not self.failures:
            return counts
        reasons = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
        reasons.add_column("failed", overflow="fold")
        reasons.add_column("why", overflow="fold")
        for name, reason in self.failures[:_MAX_FAILURES_SHOWN]:
            reasons.add_row(Text(printable(name)), Text(printable(reason), style="red"))
        if (more := len(self.failures) - _MAX_FAILURES_SHOWN) > 0:
            reasons.add_row(Text(f"and {more} more", style="dim"))
        return Group(counts, Text(), reasons)

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "files", f"{self.finished}"
        yield "done", f"{self.done}"
        yield "failed", f"{len(self.failures)}"
        if self.audio_s:
            yield "audio", clock(self.audio_s)
        yield "wall time", clock(self.took_s)
        if self.audio_s:
            yield "speed", rate(self.audio_s, self.took_s)
        if self.device_s:
            yield "device", f"{self.device_s:.1f} s"
        if self.cost_usd:
            yield "cost", f"{self.cost_usd:.4f} USD"
        if self.batches and self.shows_batches:
            first = list(self.batches)[:_MAX_BATCHES_SHOWN]
            more = len(self.batches) - len(first)
            yield "batches" if len(self.batches) > 1 else "batch", "\n".join(first + [f"and {more} more"] * bool(more))
