"""What a batch's status tells about its course: each item's times, totals, and rates over time. No I/O."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import quantiles
from typing import Final

from asr_queue.wire.api import ItemAnswer, StatusAnswer

_MOST_BINS: Final = 40
"""Of a plot over time: more could not be told apart."""
_ITEMS_A_BIN: Final = 8
"""On average, at least: those of one pass end at once, and a shorter span tells of passes alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One item's course; all times in seconds, from the batch's creation where they are instants."""

    number: int
    """From 1, in the order of the batch."""
    started_s: float
    """When a worker took it, the last time."""
    finished_s: float
    is_done: bool
    """Else it failed."""
    audio_s: float
    """0 where it was never known."""
    device_s: float
    """Its share of the device's time; 0 where it came to no pass."""
    micro_batch: int
    """Most chunks that shared a pass with it; 0 where it came to no pass."""

    @property
    def run_s(self) -> float:
        """From its start to its end."""
        return self.finished_s - self.started_s


@dataclass(frozen=True, slots=True)
class Spread:
    """How values lie: half of them are at most `median`, 95 % at most `p95`."""

    median: float
    p95: float
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return it for any number of values; None where there are none."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        cuts = quantiles(values, n=20, method="inclusive")
        return cls(cuts[9], cuts[18], max(values))


@dataclass(frozen=True, slots=True)
class Bin:
    """What ended in a span of time."""

    from_s: float
    width_s: float
    audio_s: float
    device_s: float

    @property
    def to_s(self) -> float:
        """Where the next one begins."""
        return self.from_s + self.width_s

    @property
    def throughput(self) -> float:
        """Seconds of audio that ended a second."""
        return self.audio_s / self.width_s

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio for each second of the device, total over total; None where nothing came of it."""
        return self.audio_s / self.device_s if self.device_s else None


class BatchCourse:
    """A batch's course, as far as it has come.

    Args:
        batch: the server's answer; one that tells no times has totals and failures alone.
    """

    def __init__(self, batch: StatusAnswer) -> None:
        self.batch = batch

    @cached_property
    def items(self) -> list[Course]:
        """The items that were started and have ended, in the order of the batch."""
        if self.batch.created_at is None:
            return []
        created_at = datetime.fromisoformat(self.batch.created_at)
        found = []
        for number, item in enumerate(self.batch.items, start=1):
            if item.started_at is None or item.finished_at is None or not item.status.is_final:
                continue
            started_s, finished_s = (
                (datetime.fromisoformat(at) - created_at).total_seconds() for at in (item.started_at, item.finished_at)
            )
            found.append(
                Course(
                    number=number,
                    started_s=started_s,
                    finished_s=finished_s,
                    is_done=item.error is None,
                    audio_s=item.audio_s or 0.0,
                    device_s=item.device_s or 0.0,
                    micro_batch=item.micro_batch or 0,
                )
            )
        return found

    @property
    def waits(self) -> Spread | None:
        """From the batch's creation to each item's start."""
        return Spread.of([item.started_s for item in self.items])

    @property
    def runs(self) -> Spread | None:
        """From each item's start to its end."""
        return Spread.of([item.run_s for item in self.items])

    @property
    def audio_s(self) -> float:
        """Total length of the audio of what has ended."""
        return sum(item.audio_s or 0.0 for item in self.batch.items if item.status.is_final)

    @property
    def took_s(self) -> float | None:
        """From the batch's creation to the last end; None where nothing has ended."""
        return max((item.finished_s for item in self.items), default=None)

    @property
    def throughput(self) -> float | None:
        """Seconds of audio a second, from the first start to the last end."""
        if not self.items or self.took_s is None:
            return None
        span_s = self.took_s - min(item.started_s for item in self.items)
        return self.audio_s / span_s if span_s > 0 and self.audio_s else None

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio for each second of the device, total over total."""
        return self.audio_s / self.batch.device_s if self.batch.device_s and self.audio_s else None

    @property
    def fill(self) -> float | None:
        """Mean number of chunks that shared a pass, over the items; None where no item came to one."""
        sizes = [item.micro_batch for item in self.items if item.micro_batch]
        return sum(sizes) / len(sizes) if sizes else None

    @cached_property
    def bins(self) -> list[Bin]:
        """What ended, in spans of equal length from the first start to the last end."""
        if self.took_s is None:
            return []
        begin_s = min(item.started_s for item in self.items)
        count = max(1, min(_MOST_BINS, len(self.items) // _ITEMS_A_BIN))
        # Items of one moment still make a bin.
        width_s = max(self.took_s - begin_s, 0.001) / count
        audio_s, device_s = [0.0] * count, [0.0] * count
        for item in self.items:
            at = min(int((item.finished_s - begin_s) / width_s), count - 1)
            audio_s[at] += item.audio_s
            device_s[at] += item.device_s
        return [Bin(begin_s + at * width_s, width_s, audio_s[at], device_s[at]) for at in range(count)]

    @cached_property
    def failures(self) -> list[tuple[str, int, list[ItemAnswer]]]:
        """Each error code with its count and its items, the most frequent first."""
        failed = [item for item in self.batch.items if item.error is not None]
        counts = Counter(item.error_code or "item_failed" for item in failed)
        return [
            (code, count, [item for item in failed if (item.error_code or "item_failed") == code])
            for code, count in counts.most_common()
        ]
