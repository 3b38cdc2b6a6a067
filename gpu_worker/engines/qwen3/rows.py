"""Where each row of the running batch stands: a few integers a row, on the device, changed in place by every step."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.transfer import send

_START: Final = 0
_PROGRESS: Final = slice(2, 4)


class NewRow(NamedTuple):
    """A row that comes in with its prompt."""

    start: int
    """First of its slots."""
    n_prompt: int
    """Tokens in front of the first generated one."""
    max_new_tokens: int
    """At least 1; its slots are `start .. start + n_prompt + max_new_tokens - 1`."""


class RowsView(NamedTuple):
    """The first rows, as views of the tensors that stay; each int32[n]."""

    starts: Tensor
    """First slot of each row."""
    lasts: Tensor
    """The position, counted from the row's start, of the last token that may be written."""
    positions: Tensor
    """Of the last token that is written."""
    are_done: Tensor
    """1 where a row has ended, or is idle."""


class Rows:
    """Rows `0..max_rows - 1`; those behind the used ones are idle: they are done and stand on the idle slot.

    Every method is a fixed sequence of operations on tensors of fixed shapes; none waits for the device.
    """

    def __init__(self, max_rows: int, cache: Cache, eos_token_ids: Sequence[int]) -> None:
        device = cache.token_ids.device
        self.max_rows = max_rows
        self._cache = cache
        self._idle = torch.tensor([[cache.idle_slot], [0], [0], [1]], dtype=torch.int32, device=device)
        # One column more: varlen attention reads its offsets up to one past the last row.
        self._state = self._idle.repeat(1, max_rows + 1)
        self._eos = torch.tensor(list(eos_token_ids), dtype=torch.int64, device=device)

    def view(self, first: int, end: int) -> RowsView:
        """Return the rows `first..end - 1`."""
        return RowsView(*self._state[:, first:end].unbind())

    def starts_and_one(self, n_rows: int) -> Tensor:
        """Return int32[n_rows + 1], the starts of the first rows and of the one behind them."""
        return self._state[_START, : n_rows + 1]

    def arrange(self, kept: Sequence[int], new: Sequence[NewRow]) -> None:
        """Put the kept rows in front, in the given order, then the new ones, and make all others idle.

        A new row stands on its prompt's last token; `write` adds what follows.
        """
        device = self._state.device
        if kept:
            self._state[:, : len(kept)] = self._state[:, send(np.array(kept), device)]
        if new:
            fields = np.array([(one.start, _last(one), one.n_prompt - 1, 0) for one in new], dtype=np.int32)
            self._state[:, len(kept) : len(kept) + len(new)] = send(np.ascontiguousarray(fields.T), device)
        self._state[:, len(kept) + len(new) :] = self._idle

    def write(self, rows: RowsView, token_ids: Tensor) -> None:
        """Append a token to each row that has not ended; one that ends a text is not written but ends the row.

        Args:
            token_ids: int64[n], what was chosen for each of the rows.
        """
        ends = (token_ids[:, None] == self._eos).any(1)
        goes_on = ~ends & (rows.are_done == 0)
        rows.positions.add_(goes_on)
        slots = rows.starts + rows.positions
        ids = self._cache.token_ids
        # Idle rows share a slot and write to it what is there.
        ids[slots] = torch.where(goes_on, token_ids, ids[slots])
        rows.are_done.copy_(rows.are_done.bool() | ends | (rows.positions >= rows.lasts))

    def progress(self) -> Tensor:
        """Return int32[2, max_rows + 1]: positions, and 1 where a row is done; a view, which the next step changes."""
        return self._state[_PROGRESS]


def _last(row: NewRow) -> int:
    return row.n_prompt + row.max_new_tokens - 1
