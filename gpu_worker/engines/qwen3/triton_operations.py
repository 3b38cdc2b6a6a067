"""`Operations` with Triton's kernels for all but the attention of whole prompts, which FlashAttention-2 has.

Only imported on CUDA, where PyTorch brings Triton along.
"""

from typing import Any, Final

import torch
import triton
from torch import Tensor
from triton.errors import TritonError

from gpu_worker.engines.qwen3 import kernels
from gpu_worker.engines.qwen3.flash import FlashOperations
from gpu_worker.engines.qwen3.operations import HeadNorms, LastTokens, Places

_BLOCKS_WANTED: Final = 128
"""Attention is split along the keys until there are about as many blocks as an H100 has processors (132)."""
_MOST_SPLITS: Final = 16
_KEYS_AT_ONCE: Final = 64
_LEAST_QUERIES: Final = 16
"""Rows that a tensor core's matrix product has at least."""
_COLUMNS_AT_ONCE: Final = 1024


class TritonOperations(FlashOperations):
    """On CUDA, in half precision; all tensors contiguous, head_dim and the queries of a key head powers of two."""

    def add_norm(self, residual: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        """See `Operations`."""
        width = residual.shape[1]
        normed = torch.empty_like(residual)
        _launch(
            kernels.add_norm, (len(residual),), residual, residual if added is None else added, weight, normed,
            WIDTH=width, BLOCK=triton.next_power_of_2(width), EPS=eps, ADDS=added is not None,
        )  # fmt: skip
        return normed

    def rotate_and_store(self, qkv: Tensor, norms: HeadNorms, places: Places, keys: Tensor, values: Tensor) -> Tensor:
        """See `Operations`."""
        _, kv_heads, head_dim = keys.shape
        heads = qkv.shape[1] // head_dim - 2 * kv_heads
        queries = qkv.new_empty(len(qkv), heads, head_dim)
        _launch(
            kernels.rotate_and_store, (len(qkv), heads + 2 * kv_heads), qkv, norms.query, norms.key,
            places.positions, places.slots, *places.turns, queries, keys, values,
            HEADS=heads, KV_HEADS=kv_heads, HALF=head_dim // 2, EPS=norms.eps, num_warps=1,
        )  # fmt: skip
        return queries

    def attend_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: LastTokens) -> Tensor:
        """See `Operations`; reads valid keys only, each once for all queries that use it."""
        n_rows, heads, head_dim = queries.shape
        kv_heads = keys.shape[1]
        splits = _splits(n_rows * kv_heads)
        attended = torch.empty_like(queries)
        shape = (n_rows, splits, heads)
        parts = queries.new_empty((*shape, head_dim), dtype=torch.float32) if splits > 1 else attended
        peaks, sums = queries.new_empty((2, *shape), dtype=torch.float32)
        _launch(
            kernels.attend_split, (n_rows, kv_heads, splits), queries, keys, values, rows.starts, rows.lengths,
            parts, peaks, sums,
            HEADS=heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, SCALE=head_dim**-0.5, SPLITS=splits,
            BLOCK=_KEYS_AT_ONCE, QUERIES=max(_LEAST_QUERIES, heads // kv_heads), num_warps=4, num_stages=3,
        )  # fmt: skip
        if splits > 1:
            _launch(
                kernels.join_splits, (n_rows, heads), parts, peaks, sums, attended,
                HEADS=heads, HEAD_DIM=head_dim, SPLITS=splits, num_warps=1,
            )  # fmt: skip
        return attended

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """See `Operations`."""
        width = gate_up.shape[1] // 2
        product = gate_up.new_empty(len(gate_up), width)
        _launch(
            kernels.silu_mul, (len(gate_up), triton.cdiv(width, _COLUMNS_AT_ONCE)), gate_up, product,
            WIDTH=width, BLOCK=_COLUMNS_AT_ONCE,
        )  # fmt: skip
        return product


def _splits(n_blocks: int) -> int:
    """Return into how many shares the keys are cut, a power of two; one from 86 blocks on."""
    splits = 1
    while splits < _MOST_SPLITS and n_blocks * splits * 3 < _BLOCKS_WANTED * 2:
        splits *= 2
    return splits


def _launch(kernel: Any, grid: tuple[int, ...], *tensors: Tensor, **constants: Any) -> None:
    try:
        kernel[grid](*tensors, **constants)
    except TritonError as error:
        raise RuntimeError(f"Triton cannot run {kernel.__name__}: {error}") from error
