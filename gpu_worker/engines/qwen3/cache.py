"""The keys and values of all tokens of all rows: one pool, made once, whose addresses captured graphs may hold."""

from typing import Any

import torch
from torch import Tensor


class Cache:
    """A pool of slots, one a token: `0..n_tokens - 1` are given out in stretches, the last one is for idle rows."""

    def __init__(self, text_config: Any, *, n_tokens: int, device: torch.device, dtype: torch.dtype) -> None:
        """Take `n_tokens * bytes_a_token` of memory.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        shape = (n_tokens + 1, text_config.num_key_value_heads, text_config.head_dim)
        # Zeros: what a mask hides is multiplied by 0, which does not hide what is no number.
        pool = torch.zeros((text_config.num_hidden_layers, 2, *shape), device=device, dtype=dtype)
        self.keys: tuple[Tensor, ...] = pool[:, 0].unbind()
        """[n_tokens + 1, kv_heads, head_dim] of each layer, after norm and rotation."""
        self.values: tuple[Tensor, ...] = pool[:, 1].unbind()
        """[n_tokens + 1, kv_heads, head_dim] of each layer."""
        self.token_ids = torch.zeros(n_tokens + 1, device=device, dtype=torch.int64)
        """What was generated for each slot; 0 where the prompt is."""
        self.n_tokens = n_tokens

    @property
    def idle_slot(self) -> int:
        """Belongs to no row: rows that nobody uses read and write here."""
        return self.n_tokens


def bytes_a_token(text_config: Any, dtype: torch.dtype) -> int:
    """Return what one slot takes: 114,688 for both sizes of Qwen3-ASR in bfloat16."""
    width: int = text_config.num_key_value_heads * text_config.head_dim
    return 2 * int(text_config.num_hidden_layers) * width * dtype.itemsize + torch.int64.itemsize
