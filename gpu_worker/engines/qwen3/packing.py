"""Prompts of several requests one behind the other, without padding, as a prefill takes them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpu_worker.engines.qwen3.transfer import send


class Prompt(NamedTuple):
    """Ids around the audio, the number of the audio's own tokens, and the slot of the first token."""

    before: tuple[int, ...]
    n_audio: int
    after: tuple[int, ...]
    start: int

    @property
    def length(self) -> int:
        """All its tokens, at least 1."""
        return len(self.before) + self.n_audio + len(self.after)


class Packed(NamedTuple):
    """Prompts on the device; `n` of them, with `t` tokens in all."""

    ids: Tensor
    """int64[t], 0 in place of the audio."""
    positions: Tensor
    """int64[t], of each token in its own prompt."""
    slots: Tensor
    """int64[t], of each token in the cache."""
    audio: Tensor
    """int64[audio tokens], which of the t are the audio's, in order."""
    ends: Tensor
    """int64[n], which of the t are their prompt's last."""
    edges: Tensor
    """int32[n + 1], where each prompt begins among the t, and t."""
    starts: Tensor
    """int32[n + 1], the slots where prompts begin (varlen attention wants one more and does not read it)."""
    lengths: Tensor
    """int32[n]."""
    spans: tuple[tuple[int, int], ...]
    """Start and length of each prompt in the cache, on the host."""


def pack(prompts: Sequence[Prompt], device: torch.device) -> Packed:
    """Lay the prompts out and send them; nothing waits for the device."""
    lengths = np.array([prompt.length for prompt in prompts])
    edges = np.concatenate([[0], np.cumsum(lengths)])
    starts = np.array([prompt.start for prompt in prompts])
    positions = np.arange(edges[-1]) - np.repeat(edges[:-1], lengths)
    slots = positions + np.repeat(starts, lengths)
    ids = np.concatenate([(*prompt.before, *(0,) * prompt.n_audio, *prompt.after) for prompt in prompts])
    audio = np.concatenate(
        [edge + len(prompt.before) + np.arange(prompt.n_audio) for prompt, edge in zip(prompts, edges, strict=False)]
    )
    token_wise = send(np.stack([ids, positions, slots]).astype(np.int64), device)
    return Packed(
        ids=token_wise[0],
        positions=token_wise[1],
        slots=token_wise[2],
        audio=send(audio.astype(np.int64), device),
        ends=send((edges[1:] - 1).astype(np.int64), device),
        edges=send(edges.astype(np.int32), device),
        starts=send(np.append(starts, 0).astype(np.int32), device),
        lengths=send(lengths.astype(np.int32), device),
        spans=tuple(zip(starts.tolist(), lengths.tolist(), strict=True)),
    )
