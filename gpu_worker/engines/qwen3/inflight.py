"""Many requests over few rows: who runs, who waits, and how the host stays ahead of the device.

    waiting ──admit: pack, hear, prefill──▶ running rows ──step, step, step, step──▶ look ──▶ ended
       ▲                                         │  ▲                               │
       └──── rows that ended make room ◀─────────┘  └───────────────────────────────┘

Which rows have ended is copied over after each round of steps and read one round later, when it has long arrived. So a
row may take a few steps too many; they change nothing, because a row that is done stands still.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.encoder import AudioEncoder
from gpu_worker.engines.qwen3.graphs import StepGraphs
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.packing import Prompt, pack
from gpu_worker.engines.qwen3.requests import Generated, Request
from gpu_worker.engines.qwen3.rows import NewRow, Rows
from gpu_worker.engines.qwen3.spans import Spans

MAX_PREFILL_TOKENS: Final = 16_384
"""Prompts that are prefilled at once; a single longer one still goes alone. Bounds what a prefill needs."""
_FIRST_PREFILL_TOKENS: Final = 3_072
"""Of the first group: the device has nothing to do until its clips are laid out, 0.3 ms for one of 30 s [estimated]."""
_PREFILL_GROWTH: Final = 3
"""From group to group: each is laid out and launched while the device computes the one before, 1.5 ms a clip."""
_STEPS_A_ROUND: Final = 4
"""Between two looks at which rows have ended: 4 ms on an H100, enough for the host to stay ahead."""
_REFILL_SHARE: Final = 4
"""A prefill holds up all rows, so it waits until a quarter of them is free."""


class Parts(NamedTuple):
    """What stays from one call to the next."""

    decoder: Decoder
    encoder: AudioEncoder
    log_mel: LogMel
    cache: Cache
    rows: Rows
    steps: StepGraphs


class _Look(NamedTuple):
    """Where the rows stood after a round; on the host, once the device has got there."""

    rows: tuple["_Row", ...]
    progress: Tensor
    arrived: torch.cuda.Event | None


@dataclass(slots=True)
class _Row:
    """A request that runs, as far as the host knows."""

    index: int
    """Among the requests."""
    request: Request
    place: NewRow
    n_steps: int = 0
    """Queued since its prefill, which gave it its first token."""
    ended: tuple[Tensor, Tensor] | None = None
    """Once it is known to have ended: its last position, and the ids in all its slots behind the prompt."""

    @property
    def most_keys(self) -> int:
        """It cannot have more in the next step."""
        return self.place.n_prompt + min(self.n_steps + 1, self.place.max_new_tokens)

    @property
    def steps_left(self) -> int:
        """It has ended after these at the latest."""
        return self.place.max_new_tokens - 1 - self.n_steps

    def result(self) -> Generated:
        """Return what it generated, when the device has got there."""
        assert self.ended is not None
        position, ids = self.ended
        n_generated = int(position) - self.place.n_prompt + 1
        return Generated(tuple(ids[:n_generated].tolist()), is_truncated=n_generated == self.place.max_new_tokens)


class Inflight:
    """One call's requests; what it leaves on the device, the next one clears."""

    def __init__(self, parts: Parts, requests: Sequence[Request]) -> None:
        """Take requests that each fit the cache when it is empty."""
        self._parts = parts
        self._waiting = deque(sorted(enumerate(requests), key=lambda one: -one[1].n_prompt))
        self._running: list[_Row] = []
        self._ended: list[_Row] = []
        self._spans = Spans(parts.cache.n_tokens)
        self._unread: _Look | None = None

    def run(self) -> list[Generated]:
        """Return what follows each prompt, in the order of the requests."""
        self._arrange([])
        while self._waiting or self._running:
            self._refill()
            self._decode_a_round()
        _wait_for(self._parts.decoder.device)
        return [row.result() for row in sorted(self._ended, key=lambda row: row.index)]

    def _refill(self) -> None:
        n_alive = len(self._alive())
        admitted = self._admit(self._parts.rows.max_rows - n_alive)
        size_for = self._parts.steps.size_for
        if admitted or not n_alive or size_for(n_alive) < size_for(len(self._running)):
            self._arrange(admitted)
        if admitted:
            self._prefill(admitted, first_row=n_alive)

    def _admit(self, n_free: int) -> list[_Row]:
        """Take from those who wait whoever the cache has room for, the longest first, unless it is too few."""
        if n_free < min(len(self._waiting), max(1, self._parts.rows.max_rows // _REFILL_SHARE)):
            return []
        admitted: list[_Row] = []
        left: deque[tuple[int, Request]] = deque()
        while self._waiting and len(admitted) < n_free:
            index, request = self._waiting.popleft()
            start = self._spans.take(request.n_context)
            if start is None:
                left.append((index, request))
            else:
                admitted.append(_Row(index, request, NewRow(start, request.n_prompt, request.max_new_tokens)))
        self._waiting = left + self._waiting
        return admitted

    def _arrange(self, admitted: list[_Row]) -> None:
        kept = [i for i, row in enumerate(self._running) if row.ended is None]
        self._parts.rows.arrange(kept, [row.place for row in admitted])
        self._running = self._alive() + admitted

    def _prefill(self, admitted: list[_Row], first_row: int) -> None:
        parts = self._parts
        for group in _groups(admitted):
            spectra = parts.log_mel([row.request.samples for row in group])
            packed = pack([_prompt(row) for row in group], parts.decoder.device)
            embedded = parts.decoder.embed(packed.ids)
            embedded[packed.audio] = parts.encoder.encode(*spectra)
            logits = parts.decoder.prefill(embedded, packed, parts.cache.layers)
            parts.rows.write(parts.rows.view(first_row, first_row + len(group)), logits.argmax(-1))
            first_row += len(group)

    def _decode_a_round(self) -> None:
        running = self._running
        most_left = max((row.steps_left for row in self._alive()), default=0)
        for _ in range(min(_STEPS_A_ROUND, most_left)):
            self._parts.steps.run(len(running), max(row.most_keys for row in running))
            for row in running:
                row.n_steps += 1
        last_look, self._unread = self._unread, self._look()
        if last_look is not None:
            self._read(last_look)
        for i, row in enumerate(running):
            # By its limit at the latest: that is known without asking.
            if row.ended is None and row.steps_left <= 0:
                self._end(row, self._unread, i)

    def _look(self) -> _Look:
        progress, arrived = _fetch(self._parts.rows.progress()), None
        if progress.is_pinned():
            # Blocking: the wait leaves the core to those who decode audio.
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record()
        return _Look(tuple(self._running), progress, arrived)

    def _read(self, look: _Look) -> None:
        if look.arrived is not None:
            look.arrived.synchronize()
        for i, is_done in enumerate(look.progress[1, : len(look.rows)].tolist()):
            if is_done and look.rows[i].ended is None:
                self._end(look.rows[i], look, i)

    def _end(self, row: _Row, look: _Look, i: int) -> None:
        """Ask for the row's tokens and free its slots, given a look in which it had ended, as row i."""
        start, end = row.place.start + row.place.n_prompt, row.place.start + row.request.n_context
        row.ended = look.progress[0, i], _fetch(self._parts.cache.token_ids[start:end])
        self._ended.append(row)
        # It may still run for a while. Before anybody else gets these slots the rows are arranged, which stops it.
        self._spans.give_back(row.place.start, row.request.n_context)

    def _alive(self) -> list[_Row]:
        return [row for row in self._running if row.ended is None]


def _groups(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows in order, in groups to be prefilled: a small one first, then larger ones."""
    groups: list[list[_Row]] = []
    most, left = _FIRST_PREFILL_TOKENS, 0
    for row in rows:
        if not groups or row.place.n_prompt > left:
            left, most = most, min(most * _PREFILL_GROWTH, MAX_PREFILL_TOKENS)
            groups.append([])
        groups[-1].append(row)
        left -= row.place.n_prompt
    return groups


def _prompt(row: _Row) -> Prompt:
    request = row.request
    return Prompt(request.before, request.n_audio, request.after, row.place.start)


def _fetch(tensor: Tensor) -> Tensor:
    """Return a copy on the host, which is filled when the device has got there."""
    if not tensor.is_cuda:
        return tensor.clone()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
