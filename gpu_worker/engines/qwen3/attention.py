"""Attention over the cache, in plain PyTorch: of whole prompts at once, and of one new token a row."""

import torch
from torch import Tensor
from torch.nn import functional

from gpu_worker.engines.qwen3.packing import Packed


def attend_prompts(queries: Tensor, keys: Tensor, values: Tensor, packed: Packed) -> Tensor:
    """Return [t, heads, head_dim]: every token attends to its prompt up to itself.

    Args:
        queries: [t, heads, head_dim], the prompts' tokens one behind the other.
        keys: [slots, kv_heads, head_dim] of the layer, the prompts' own already in it.
        values: likewise.
        packed: where the prompts are.
    """
    rows = zip(torch.split(queries, [length for _, length in packed.spans]), packed.spans, strict=True)
    return torch.cat(
        [_causal(row, keys[start : start + length], values[start : start + length]) for row, (start, length) in rows]
    )


def attend_rows(queries: Tensor, keys: Tensor, values: Tensor, starts: Tensor, lengths: Tensor, n_keys: int) -> Tensor:
    """Return [n, heads, head_dim]: the last token of each row attends to its whole row.

    With static shapes: every row is read to `n_keys`, and what is behind its end is masked.

    Args:
        queries: [n, heads, head_dim], one token a row.
        keys: [slots, kv_heads, head_dim] of the layer, the tokens' own already in it.
        values: likewise.
        starts: int32[n], first slot of each row.
        lengths: int32[n], 1 to `n_keys`.
        n_keys: no row is longer.
    """
    offsets = torch.arange(n_keys, device=queries.device)
    # Beyond the cache there is nothing, and what is read there is masked.
    slots = (starts[:, None] + offsets).clamp_(max=len(keys) - 1)
    mask = (offsets < lengths[:, None])[:, None, None]
    attended = functional.scaled_dot_product_attention(
        queries[:, :, None], keys[slots].transpose(1, 2), values[slots].transpose(1, 2), attn_mask=mask, enable_gqa=True
    )
    return attended[:, :, 0]


def _causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    attended = functional.scaled_dot_product_attention(
        queries.transpose(0, 1), keys.transpose(0, 1), values.transpose(0, 1), is_causal=True, enable_gqa=True
    )
    return attended.transpose(0, 1)
