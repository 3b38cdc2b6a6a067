"""`Operations` with PyTorch's own FlashAttention-2, which reads each row's keys where they lie in the cache."""

import torch
from torch import Tensor

from gpu_worker.engines.qwen3.operations import LastTokens, TorchOperations
from gpu_worker.engines.qwen3.packing import Packed


class FlashOperations(TorchOperations):
    """On CUDA, in half precision."""

    def attend_prompts(self, queries: Tensor, keys: Tensor, values: Tensor, packed: Packed) -> Tensor:
        """See `Operations`."""
        longest = max(length for _, length in packed.spans)
        return _flash(
            queries, keys, values, packed.edges, packed.starts, packed.lengths, longest=(longest, longest), causal=True
        )

    def attend_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: LastTokens) -> Tensor:
        """See `Operations`."""
        longest = (1, rows.n_keys)
        return _flash(queries, keys, values, rows.edges, rows.starts, rows.lengths, longest=longest, causal=False)


def _flash(
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
    not ascend (`BlockInfo` in flash_attn/block_info.h); `choice.py` sees at load that this is so. The public
    `varlen_attn` has had `seqused_k` since PyTorch 2.13 only.

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
