"""What a decoder layer does between its matrix products: five operations, in plain PyTorch.

On CUDA `flash.py` has the two attentions faster, and `triton_operations.py` all but one, each as one kernel. Norms and
rotations are computed in float32 and rounded once, in all of them.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from gpu_worker.engines.qwen3.attention import attend_prompts, attend_rows
from gpu_worker.engines.qwen3.packing import Packed


class HeadNorms(NamedTuple):
    """Weights of the norms over each head, [head_dim], and what is added to the variance."""

    query: Tensor
    key: Tensor
    eps: float


class Places(NamedTuple):
    """Where tokens belong."""

    positions: Tensor
    """int[t], in their own row."""
    slots: Tensor
    """int64[t], in the cache."""
    turns: Tensor
    """float32[2, positions, head_dim / 2], cosine and sine of the rotation at each position."""


class LastTokens(NamedTuple):
    """One new token a row, for attention: int32[n + 1], int32[n], and a bound on the lengths."""

    starts: Tensor
    """First slot of each row; one more, which means nothing."""
    lengths: Tensor
    """Keys of each row, the new token's own included."""
    edges: Tensor
    """0, 1, ..., n."""
    n_keys: int
    """No row is longer."""


class Operations(Protocol):
    """Everything in a decoder layer but the matrix products."""

    def add_norm(self, residual: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        """Add `added` to `residual` in place, and return the sum's RMS norm; all [t, width]."""

    def rotate_and_store(self, qkv: Tensor, norms: HeadNorms, places: Places, keys: Tensor, values: Tensor) -> Tensor:
        """Put normed, rotated keys and the values into their slots, and return the queries [t, heads, head_dim].

        Args:
            qkv: [t, (heads + 2 * kv_heads) * head_dim].
            norms: of the layer.
            places: of the t tokens.
            keys: [slots, kv_heads, head_dim] of the layer.
            values: likewise.
        """

    def attend_prompts(self, queries: Tensor, keys: Tensor, values: Tensor, packed: Packed) -> Tensor:
        """Return [t, heads, head_dim], each token's attention to its prompt up to itself."""

    def attend_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: LastTokens) -> Tensor:
        """Return [n, heads, head_dim], each row's new token's attention to its whole row."""

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) * up, [t, width], of both side by side, [t, 2 * width]."""


class TorchOperations:
    """On any device and in any precision."""

    def add_norm(self, residual: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        """See `Operations`."""
        if added is not None:
            residual.add_(added)
        return functional.rms_norm(residual, residual.shape[-1:], weight, eps)

    def rotate_and_store(self, qkv: Tensor, norms: HeadNorms, places: Places, keys: Tensor, values: Tensor) -> Tensor:
        """See `Operations`."""
        _, kv_heads, head_dim = keys.shape
        heads = qkv.view(len(qkv), -1, head_dim)
        n_heads = heads.shape[1] - 2 * kv_heads
        queries, new_keys, new_values = torch.split(heads, [n_heads, kv_heads, kv_heads], 1)
        keys[places.slots] = _rotated(new_keys, norms.key, norms.eps, places)
        values[places.slots] = new_values
        return _rotated(queries, norms.query, norms.eps, places)

    def attend_prompts(self, queries: Tensor, keys: Tensor, values: Tensor, packed: Packed) -> Tensor:
        """See `Operations`."""
        return attend_prompts(queries, keys, values, packed)

    def attend_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: LastTokens) -> Tensor:
        """See `Operations`."""
        return attend_rows(queries, keys, values, rows.starts[:-1], rows.lengths, rows.n_keys)

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """See `Operations`."""
        gate, up = gate_up.chunk(2, -1)
        return functional.silu(gate) * up


def turns(text_config: Any, n_positions: int, device: torch.device) -> Tensor:
    """Return float32[2, n_positions, head_dim / 2] for `Places`, of positions `0..n_positions - 1`.

    Worked out anew: the model's own frequencies lose their precision when somebody converts the model with `.to`.
    """
    powers = torch.arange(0, text_config.head_dim, 2, dtype=torch.float32) / text_config.head_dim
    frequencies = 1.0 / text_config.rope_parameters["rope_theta"] ** powers
    angles = torch.arange(n_positions, dtype=torch.float32)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()]).to(device)


def _rotated(heads: Tensor, weight: Tensor, eps: float, places: Places) -> Tensor:
    normed = functional.rms_norm(heads.float(), heads.shape[-1:], weight.float(), eps)
    cos, sin = places.turns[:, places.positions, None]
    first, second = normed.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(heads.dtype)
