"""Greedy generation for many requests at once, over one cache that stays.

    waiting ──admit: pack, hear, prefill──▶ running rows ──step, step, step, step──▶ look ──▶ ended
       ▲                                         │  ▲                               │
       └──── rows that ended make room ◀─────────┘  └───────────────────────────────┘

The host runs ahead of the device. Which rows have ended is copied over every few steps and read one such round later,
so a row may take a few steps too many; they change nothing, because a row that is done stands still.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from gpu_worker.engine import Samples
from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.choice import operations_for
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.encoder import AudioEncoder, n_tokens
from gpu_worker.engines.qwen3.graphs import StepGraphs
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.packing import Prompt, pack
from gpu_worker.engines.qwen3.rows import NewRow, Rows
from gpu_worker.engines.qwen3.spans import Spans
from gpu_worker.engines.qwen3.step import decoding_step

STEPS_A_ROUND: Final = 4
"""Between two looks at which rows have ended: 4 ms on an H100, enough for the host to stay ahead."""
MAX_PREFILL_TOKENS: Final = 16_384
"""Prompts that are prefilled at once; a single longer one still goes alone. Bounds what a prefill needs."""
_FIRST_PREFILL_TOKENS: Final = 3_072
"""Of the first group: the device has nothing to do until its clips are laid out, 0.3 ms for one of 30 s [estimated]."""
_PREFILL_GROWTH: Final = 3
"""From group to group: each is laid out and launched while the device computes the one before, 1.5 ms a clip."""
_LEAST_SAMPLES: Final = 8_000
"""What `mel.py` fills shorter clips up to."""
_FRAME_SAMPLES: Final = 160
"""From one frame to the next in `mel.py`."""
_REFILL_SHARE: Final = 4
"""A prefill holds up all rows, so it waits until a quarter of them is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One clip to be turned into tokens."""

    samples: Samples = field(repr=False)
    """At least one sample, at 16 kHz."""
    before: tuple[int, ...]
    """Ids in front of the audio."""
    after: tuple[int, ...]
    """Ids behind the audio."""
    max_new_tokens: int
    """At least 1; the token that ends the text counts."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What follows the prompt."""

    token_ids: tuple[int, ...]
    """Without the one that ended the text."""
    is_truncated: bool
    """Whether `max_new_tokens` ended it."""


class Generator:
    """A model with its cache and captured steps. Not for several threads at once."""

    def __init__(self, model: Any, *, max_rows: int, max_context_tokens: int, cache_tokens: int | None = None) -> None:
        """Take the cache, and on CUDA compile and capture everything that a run needs.

        Args:
            model: a `Qwen3ASRForConditionalGeneration` on its device; some of its weights become views of fused ones.
            max_rows: decoded at once.
            max_context_tokens: most tokens of one request, prompt and `max_new_tokens` together.
            cache_tokens: slots that the rows share, each taking what it needs (`cache.bytes_a_token` says how much
                memory that is); by default every row can have `max_context_tokens`.

        Raises:
            ValueError: the model is of another kind.
            torch.OutOfMemoryError: it does not fit.
        """
        self.max_context_tokens = max_context_tokens
        operations = operations_for(model.config.text_config, model.device, model.dtype)
        self._decoder = Decoder(model.model.language_model, model.lm_head, operations, max_positions=max_context_tokens)
        self._encoder = AudioEncoder(model)
        self._log_mel = LogMel(self._decoder.device)
        self._cache = Cache(
            self._decoder.config,
            n_tokens=max_rows * max_context_tokens if cache_tokens is None else cache_tokens,
            device=self._decoder.device,
            dtype=self._decoder.dtype,
        )
        self._rows = Rows(max_rows, self._cache, _ids(model.generation_config.eos_token_id))
        self._max_rows = max_rows
        with torch.inference_mode():
            self._steps = StepGraphs(
                decoding_step(self._decoder, self._rows, self._cache),
                max_rows=max_rows,
                max_keys=max_context_tokens,
                device=self._decoder.device,
            )
        if self._decoder.device.type == "cuda":
            self._warm_up()

    def context_tokens(self, request: Request) -> int:
        """Return how many slots the request takes: its prompt and all that it may generate."""
        return _n_prompt(request) + request.max_new_tokens

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Return what follows each prompt, in the order of the requests; however many there are, and in any company.

        Raises:
            ValueError: a request asks for nothing, or does not fit; nothing has been computed then.
            torch.OutOfMemoryError: the device has no room for a prefill; the next call starts afresh.
        """
        for i, request in enumerate(requests):
            self._check(i, request)
        parts = _Parts(
            self._decoder, self._encoder, self._log_mel, self._cache, self._rows, self._steps, self._max_rows
        )
        return _Pass(parts, requests).run()

    def _warm_up(self) -> None:
        """Have everything in front of the steps compiled and initialised too."""
        silence = np.zeros(_LEAST_SAMPLES, np.float32)
        self.generate([Request(samples=silence, before=(0,), after=(0,), max_new_tokens=1)] * min(2, self._max_rows))

    def _check(self, i: int, request: Request) -> None:
        if request.max_new_tokens < 1:
            raise ValueError(f"Request {i} may generate {request.max_new_tokens} tokens; at least 1 is needed.")
        needed, most = self.context_tokens(request), min(self.max_context_tokens, self._cache.n_tokens)
        if needed > most:
            raise ValueError(f"Request {i} needs room for {needed} tokens, but a row has {most} at most.")


@dataclass(frozen=True, slots=True)
class _Parts:
    decoder: Decoder
    encoder: AudioEncoder
    log_mel: LogMel
    cache: Cache
    rows: Rows
    steps: StepGraphs
    max_rows: int


@dataclass(slots=True)
class _Row:
    """A request that runs, as far as the host knows."""

    index: int
    """Among the requests."""
    request: Request
    place: NewRow
    n_steps: int = 0
    """Queued since its prefill, which gave it its first token."""
    token_ids: Tensor | None = None
    """On the host, once the row is known to have ended; filled when the device gets there."""

    @property
    def length(self) -> int:
        """Its slots."""
        return self.place.n_prompt + self.place.max_new_tokens

    @property
    def most_keys(self) -> int:
        """It cannot have more in the next step."""
        return self.place.n_prompt + min(self.n_steps + 1, self.place.max_new_tokens)

    @property
    def steps_left(self) -> int:
        """It has ended after these at the latest."""
        return self.place.max_new_tokens - 1 - self.n_steps


@dataclass(frozen=True, slots=True)
class _Look:
    """Where the rows stood after a round: valid once the device has got there."""

    rows: tuple[_Row, ...]
    progress: Tensor
    arrived: torch.cuda.Event | None


class _Pass:
    """One call of `generate`; what it leaves on the device, the next one clears."""

    def __init__(self, parts: _Parts, requests: Sequence[Request]) -> None:
        self._parts = parts
        longest_first = sorted(enumerate(requests), key=lambda one: -_n_prompt(one[1]))
        self._waiting: deque[tuple[int, Request]] = deque(longest_first)
        self._running: list[_Row] = []
        self._ended: list[_Row] = []
        self._spans = Spans(parts.cache.n_tokens)
        self._unread: _Look | None = None

    def run(self) -> list[Generated]:
        """Return what follows each prompt, in the order of the requests."""
        self._arrange([])
        while self._waiting or self._running:
            self._make_room_and_fill()
            self._decode_a_round()
        _wait_for(self._parts.decoder.device)
        return [_generated(row) for row in sorted(self._ended, key=lambda row: row.index)]

    def _make_room_and_fill(self) -> None:
        alive = [row for row in self._running if row.token_ids is None]
        admitted = self._admit(self._parts.max_rows - len(alive))
        size_for = self._parts.steps.size_for
        if admitted or not alive or size_for(len(alive)) < size_for(len(self._running)):
            self._arrange(admitted)
        if admitted:
            self._prefill(admitted, first_row=len(alive))

    def _admit(self, n_free: int) -> list[_Row]:
        wanted = min(len(self._waiting), max(1, self._parts.max_rows // _REFILL_SHARE))
        if n_free < wanted:
            return []
        admitted: list[_Row] = []
        left: deque[tuple[int, Request]] = deque()
        while self._waiting and len(admitted) < n_free:
            index, request = self._waiting.popleft()
            n_prompt = _n_prompt(request)
            start = self._spans.take(n_prompt + request.max_new_tokens)
            if start is None:
                left.append((index, request))
            else:
                admitted.append(_Row(index, request, NewRow(start, n_prompt, request.max_new_tokens)))
        self._waiting = left + self._waiting
        return admitted

    def _arrange(self, admitted: list[_Row]) -> None:
        kept = [i for i, row in enumerate(self._running) if row.token_ids is None]
        self._parts.rows.arrange(kept, [row.place for row in admitted])
        self._running = [*(self._running[i] for i in kept), *admitted]

    def _prefill(self, admitted: list[_Row], first_row: int) -> None:
        parts = self._parts
        for group in _groups(admitted):
            seconds, n_frames = parts.log_mel([row.request.samples for row in group])
            heard = parts.encoder.encode(seconds, n_frames)
            packed = pack([_prompt(row) for row in group], parts.decoder.device)
            embedded = parts.decoder.embed(packed.ids)
            embedded[packed.audio] = heard
            logits = parts.decoder.prefill(embedded, packed, parts.cache.layers)
            parts.rows.write(parts.rows.view(first_row, first_row + len(group)), logits.argmax(-1))
            first_row += len(group)

    def _decode_a_round(self) -> None:
        running = self._running
        left = max((row.steps_left for row in running if row.token_ids is None), default=0)
        for _ in range(min(STEPS_A_ROUND, left)):
            self._parts.steps.run(len(running), max(row.most_keys for row in running))
            for row in running:
                row.n_steps += 1
        last_look, self._unread = self._unread, self._look()
        if last_look is not None:
            self._read(last_look)
        if any(row.steps_left <= 0 for row in running if row.token_ids is None):
            # At least these have ended: to wait for the device is better than to give it idle steps.
            self._read(self._unread)
            self._unread = None

    def _look(self) -> _Look:
        progress = _fetch(self._parts.rows.progress())
        arrived = None
        if self._parts.decoder.device.type == "cuda":
            # Blocking: the wait leaves the core to those who decode audio.
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record()
        return _Look(tuple(self._running), progress, arrived)

    def _read(self, look: _Look) -> None:
        if look.arrived is not None:
            look.arrived.synchronize()
        positions, are_done = look.progress.tolist()
        for row, position, is_done in zip(look.rows, positions, are_done, strict=False):
            if is_done and row.token_ids is None:
                start = row.place.start
                row.token_ids = _fetch(self._parts.cache.token_ids[start + row.place.n_prompt : start + position + 1])
                self._ended.append(row)
                # The row may still run for a while. Whoever gets these slots is arranged first, which makes it idle.
                self._spans.give_back(start, row.length)


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
    return Prompt(request.before, _n_audio(request), request.after, row.place.start)


def _n_prompt(request: Request) -> int:
    return len(request.before) + _n_audio(request) + len(request.after)


def _n_audio(request: Request) -> int:
    return n_tokens(max(request.samples.size, _LEAST_SAMPLES) // _FRAME_SAMPLES)


def _generated(row: _Row) -> Generated:
    assert row.token_ids is not None
    token_ids = tuple(row.token_ids.tolist())
    return Generated(token_ids, is_truncated=len(token_ids) == row.place.max_new_tokens)


def _ids(one_or_more: int | Sequence[int]) -> list[int]:
    return [one_or_more] if isinstance(one_or_more, int) else list(one_or_more)


def _fetch(tensor: Tensor) -> Tensor:
    """Return a copy on the host, which is filled when the device has got there."""
    if not tensor.is_cuda:
        return tensor.clone()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
