"""Batches as they really went, and what the estimator says of them: now, or with whatever is changed in it.

A run is a line of JSON: what became of each item, and what was around the batch at each look. From both, the batch can
be put together as it stood at any look, and `asr_queue.domain.estimates` asked again.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from asr_queue.domain.estimates import Basis, Estimate, Surroundings, estimate, lengths_s
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation

RUNS: Final = Path(__file__).parent / "results" / "estimates.jsonl"
_BEGAN_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ended:
    """An item; times are seconds since the submit."""

    size_bytes: int
    kind: str
    started_s: float
    ended_s: float
    audio_s: float | None
    device_s: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a client was told, and what was around the batch, so many seconds after the submit."""

    at_s: float
    workers: int
    audio_s_per_s: float | None
    others_items: int
    ahead_items: int
    item_s: float
    told_left_s: float | None
    """Seconds that the answer said are left."""

    @property
    def around(self) -> Surroundings:
        """The same, for the estimator."""
        return Surroundings(
            workers=self.workers,
            audio_s_per_s=self.audio_s_per_s,
            others_items=self.others_items,
            ahead_items=self.ahead_items,
            item_s=self.item_s,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One batch from its submit to its end."""

    name: str
    """What was special about it."""
    items: tuple[Ended, ...]
    looks: tuple[Look, ...]

    @property
    def took_s(self) -> float:
        """Seconds from the submit to the end of the last item."""
        return max(item.ended_s for item in self.items)

    def progress(self, at_s: float) -> float:
        """Return the share of the audio that had ended."""
        every_s = sum(item.audio_s or 0.0 for item in self.items)
        return sum(item.audio_s or 0.0 for item in self.items if item.ended_s <= at_s) / every_s

    def look_after(self, progress: float) -> Look | None:
        """Return the first look after a share of the audio had ended and before all had; None where nobody looked."""
        return next((look for look in self.looks if progress <= self.progress(look.at_s) < 1), None)

    def replay(self, look: Look) -> Estimate:
        """Return what the estimator says today of the batch as it stood then."""
        items = [self._item_at(index, look.at_s) for index in range(len(self.items))]
        now = _at(look.at_s)
        return estimate(items, lengths_s(items, item_s=look.item_s), now=now, around=look.around)

    def error(self, look: Look, seconds_left: float) -> float:
        """Return how far off a foretold end is, as a share of the whole time from the submit to the end."""
        return abs(look.at_s + seconds_left - self.took_s) / self.took_s

    def _item_at(self, index: int, at_s: float) -> Item:
        ended = self.items[index]
        item = Item(
            batch_id="batch",
            index=index,
            item_id=str(index),
            tenant="tenant",
            operation=Operation.TRANSCRIBE,
            upload_id="upload",
            upload_key="upload",
            created_at=_at(0),
            upload_bytes=ended.size_bytes,
            upload_type=ended.kind,
            status=ItemStatus.PROCESSING if ended.started_s <= at_s else ItemStatus.QUEUED,
            started_at=_at(ended.started_s) if ended.started_s <= at_s else None,
        )
        if ended.ended_s > at_s:
            return item
        if ended.audio_s is None:
            return item.failed(ItemError("failed", "It failed."), now=_at(ended.ended_s))
        return item.done(now=_at(ended.ended_s), audio_s=ended.audio_s, device_s=ended.device_s)


def errors(runs: list[Run], progress: float) -> list[float]:
    """Return each run's error after a share of its audio, by the estimator as it is, where somebody looked."""
    found = []
    for run in runs:
        look = run.look_after(progress)
        if look is None:
            continue
        answer = run.replay(look)
        if answer.basis is not Basis.NONE and answer.seconds_left is not None:
            found.append(run.error(look, answer.seconds_left))
    return found


def read(path: Path = RUNS) -> list[Run]:
    """Return the runs of a file."""
    return list(_runs(path))


def to_line(run: Run) -> str:
    """Return a run as a line, rows as lists to keep it small."""
    rows = {
        "name": run.name,
        "items": [list(asdict(item).values()) for item in run.items],
        "looks": [list(asdict(look).values()) for look in run.looks],
    }
    return json.dumps(rows, separators=(",", ":"))


def _runs(path: Path) -> Iterator[Run]:
    for line in path.read_text(encoding="utf-8").splitlines():
        kept: dict[str, Any] = json.loads(line)
        yield Run(
            name=kept["name"],
            items=tuple(Ended(*row) for row in kept["items"]),
            looks=tuple(Look(*row) for row in kept["looks"]),
        )


def _at(seconds: float) -> datetime:
    return _BEGAN_AT + timedelta(seconds=seconds)
