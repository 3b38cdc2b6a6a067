"""Attention over the cache: of whole prompts at once, and of one new token a row.

On CUDA in half precision prompts go through PyTorch's own FlashAttention-2, which reads each row's keys where they lie
in the cache. Anywhere else the same is said in plain PyTorch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from gpu_worker.engines.qwen3.packing import Packed


def has_flash(tensor: Tensor) -> bool:
    """Whether FlashAttention-2 takes tensors like this one; it knows no float32."""
    return tensor.is_cuda and tensor.dtype in (torch.bfloat16, torch.float16)


def attend_prompts(queries: Tensor, keys: Tensor, values: Tensor, packed: Packed) -> Tensor:
    """Return [t, heads, head_dim]: every token attends to its prompt up to itself.

    Args:
        queries: [t, heads, head_dim], the prompts' tokens one behind the other.
        keys: [slots, kv_heads, head_dim] of the layer, the prompts' own already in it.
        values: likewise.
        packed: where the prompts are.
    """
    if has_flash(queries):
        longest = max(length for _, length in packed.spans)
        return flash(
            queries, keys, values, packed.edges, packed.starts, packed.lengths, longest=(longest, longest), causal=True
        )
    rows = zip(torch.split(queries, [length for _, length in packed.spans]), packed.spans, strict=True)
    return torch.cat(
        [_causal(row, keys[start : start + length], values[start : start + length]) for row, (start, length) in rows]
    )


def attend_rows(queries: Tensor, keys: Tensor, values: Tensor, starts: Tensor, lengths: Tensor, n_keys: int) -> Tensor:
    """Return [n, heads, head_dim]: the last token of each row attends to its whole row.

    In plain PyTorch, with static shapes: every row is read to `n_keys`, and what is behind its end is masked.

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


def flash(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    query_edges: Tensor,
    starts: Tensor,
    lengths: Tensor,
    *,
    longest: tuple[int, int],
    causal: bool,
) -> Tensor:
    """Return [t, heads, head_dim], of several rows, which may lie anywhere in the cache and in any order.

    With `seqused_k` the kernel takes a row's first key from `cum_seq_k` and its length from there, so the offsets need
    not ascend (flash_attn/block_info.h, `BlockInfo`). The public `varlen_attn` has no `seqused_k` before PyTorch 2.13.

    Args:
        queries: [t, heads, head_dim].
        keys: [slots, kv_heads, head_dim].
        values: likewise.
        query_edges: int32[n + 1], where each row's queries begin, and t.
        starts: int32[n + 1], first slot of each row; the last entry means nothing.
        lengths: int32[n], keys of each row.
        longest: the most queries and the most keys of a row: bounds, which need not be reached.
        causal: whether a row's queries, which are its last tokens, see nothing behind themselves.
    """
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        queries, keys, values, query_edges, starts, *longest, 0.0, causal, False, seqused_k=lengths
    )[0]
    return attended


def _causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    attended = functional.scaled_dot_product_attention(
        queries.transpose(0, 1), keys.transpose(0, 1), values.transpose(0, 1), is_causal=True, enable_gqa=True
    )
    return attended.transpose(0, 1)
