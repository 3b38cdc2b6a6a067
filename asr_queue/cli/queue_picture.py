"""The queue, its workers and the batches that run: as a picture of the size of a terminal, or as lines for a log."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asr_queue.cli.amounts import clock
from asr_queue.cli.printable import printable
from asr_queue.wire.api import BatchAnswer, LaneAnswer, QueueAnswer, WorkerAnswer

_WITH_BARS: Final = 80
"""Columns from which on there is room for bars beside the numbers."""
_WIDE: Final = 100
"""Columns from which on there is room for all."""
_BAR_WIDTH: Final = 12
_ID_CHARS: Final = 36
_FIXED_LINES: Final = 9
"""Of a picture: what is neither a worker nor a batch."""
_UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the server said at one moment."""

    queue: QueueAnswer
    batches: list[BatchAnswer] | None
    """The tenant's unfinished ones, newest first; None where the server has no list of them."""

    @property
    def empty_in_s(self) -> float | None:
        """How long the waiting audio takes at the speed of now; None where nothing moves."""
        if self.queue.waiting_audio_s <= 0:
            return 0.0
        speed = self.queue.audio_s_per_s
        return self.queue.waiting_audio_s / speed if speed else None


def lines(snapshot: Snapshot) -> Iterator[str]:
    """Yield one line of text for each thing, so that `grep` finds it."""
    queue = snapshot.queue
    yield "backlog: " + ", ".join(f"{lane.priority} {_lane(lane)}" for lane in queue.backlog)
    yield (
        f"waiting: {clock(queue.waiting_audio_s)} of audio, {_speed(queue.audio_s_per_s)}, "
        f"empty in {_time(snapshot.empty_in_s)}"
    )
    for worker in queue.workers:
        yield printable(
            f"worker {worker.worker_id}: {worker.engine}, holds {worker.held_items:,}, fill {_fill(worker)}, "
            f"{_speed(worker.audio_s_per_s)}, busy {worker.busy:.0%}, "
            f"{worker.items_done:,} items, {clock(worker.audio_s_done)} of audio in {_up(worker)}"
        )
    if not queue.workers:
        yield "no worker"
    for batch in snapshot.batches or ():
        yield printable(
            f"batch {batch.batch_id}: {batch.status}, {batch.priority}, {batch.completed:,} done, {batch.failed:,} "
            f"failed, {batch.processing:,} processing, {batch.queued:,} queued  {batch.label}"
        ).rstrip()


def picture(snapshot: Snapshot, *, width: int, height: int) -> RenderableType:
    """Return it in at most `height` lines; narrow terminals see less of each worker and batch."""
    room = max(2, height - _FIXED_LINES)
    batches = snapshot.batches or []
    # Workers may have half of the room, and what batches leave of theirs.
    workers_shown = max(1, room // 2, room - len(batches))
    workers_shown = min(workers_shown, len(snapshot.queue.workers))
    batches_shown = max(1, room - workers_shown)
    parts: list[RenderableType] = [_queue(snapshot), Text(), *_workers(snapshot.queue.workers, workers_shown, width)]
    if batches:
        parts += [Text(), *_batches(batches, batches_shown, width)]
    elif snapshot.batches is not None:
        parts += [Text(), Text("no batch of yours is under way", style="dim")]
    return Group(*parts)


def _queue(snapshot: Snapshot) -> Table:
    queue = snapshot.queue
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    lanes = Text("   ").join(
        Text.assemble((lane.priority, "dim"), " ", (_lane(lane), "bold" if lane.visible or lane.in_flight else "dim"))
        for lane in queue.backlog
    )
    table.add_row("backlog", lanes)
    table.add_row("waiting", Text(f"{clock(queue.waiting_audio_s)} of audio"))
    empty_in = Text(_time(snapshot.empty_in_s), style="bold")
    table.add_row("speed", Text.assemble(_speed(queue.audio_s_per_s), ("   empty in ", "dim"), empty_in))
    return table


def _workers(workers: list[WorkerAnswer], shown: int, width: int) -> Iterator[RenderableType]:
    if not workers:
        yield Text("no worker: what is submitted waits until one starts", style="yellow")
        return
    table = _table("worker", "engine")
    table.columns[1].ratio = None
    _add(table, "held", *(["fill", ""] if width >= _WITH_BARS else ["fill"]), "audio s/s", "busy")
    if width >= _WIDE:
        _add(table, "items", "audio", "up")
    for worker in workers[:shown]:
        bar = ProgressBar(total=1.0, completed=worker.micro_batch_fill or 0.0, width=_BAR_WIDTH)
        table.add_row(
            Text(printable(worker.worker_id)),
            Text(printable(worker.engine)),
            f"{worker.held_items:,}",
            *([bar] if width >= _WITH_BARS else []),
            _fill(worker),
            _number(worker.audio_s_per_s),
            f"{worker.busy:.0%}",
            *([f"{worker.items_done:,}", clock(worker.audio_s_done), _up(worker)] if width >= _WIDE else []),
        )
    yield table
    if len(workers) > 1:
        hidden = f" ({len(workers) - shown} not shown)" if shown < len(workers) else ""
        items, audio_s = (sum(told) for told in zip(*((w.items_done, w.audio_s_done) for w in workers), strict=True))
        yield _note(f"{len(workers)} workers{hidden}; items {items:,}, audio {clock(audio_s)} since they started")


def _batches(batches: list[BatchAnswer], shown: int, width: int) -> Iterator[RenderableType]:
    table = _table("batch", "label")
    if width >= _WIDE:  # so that the id can be copied
        table.columns[0].ratio, table.columns[0].min_width = None, _ID_CHARS
    if width >= _WITH_BARS:
        _add(table, "")
    _add(table, "done", "failed", "of")
    if width >= _WIDE:
        _add(table, "processing", "queued", "priority")
    for batch in batches[:shown]:
        bar = ProgressBar(total=batch.total, completed=batch.completed + batch.failed, width=_BAR_WIDTH)
        rest = [f"{batch.processing:,}", f"{batch.queued:,}", str(batch.priority)]
        table.add_row(
            Text(printable(batch.batch_id)),
            Text(printable(batch.label)),
            *([bar] if width >= _WITH_BARS else []),
            f"{batch.completed:,}",
            Text(f"{batch.failed:,}", style="red" if batch.failed else ""),
            f"{batch.total:,}",
            *(rest if width >= _WIDE else []),
        )
    yield table
    if shown < len(batches):
        yield _note(f"and {len(batches) - shown} more")


def _table(*first: str) -> Table:
    """Return a table without lines whose first columns give way where room is short."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", expand=True)
    for name in first:
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _add(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _note(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _lane(lane: LaneAnswer) -> str:
    return f"{lane.visible:,}" + (f" + {lane.in_flight:,} in flight" if lane.in_flight else "")


def _fill(worker: WorkerAnswer) -> str:
    if worker.micro_batch_fill is None:
        return _UNKNOWN
    return f"{worker.micro_batch_fill * worker.micro_batch_max:.1f}/{worker.micro_batch_max}"


def _up(worker: WorkerAnswer) -> str:
    """Say how long it has run, by the server's own clock: ours may be wrong."""
    started, seen = (datetime.fromisoformat(at) for at in (worker.started_at, worker.seen_at))
    return clock((seen - started).total_seconds())


def _speed(audio_s_per_s: float | None) -> str:
    return f"{_number(audio_s_per_s)} audio s/s"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1f}"


def _time(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else clock(seconds)
