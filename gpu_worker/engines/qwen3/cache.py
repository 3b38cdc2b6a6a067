"""The keys and values of all tokens of all rows: one pool, made once, whose addresses captured graphs may hold."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class KeysAndValues(NamedTuple):
    """Of each layer, [slots, kv_heads, head_dim], keys after norm and rotation; one slot a token."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class Cache:
    """A pool of slots: `0..n_tokens - 1` are given out in stretches, the last one is for idle rows."""

    def __init__(self, text_config: Any, *, n_tokens: int, device: torch.device, dtype: torch.dtype) -> None:
        """Take `(n_tokens + 1) * bytes_a_token` of memory.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        shape = (n_tokens + 1, text_config.num_key_value_heads, text_config.head_dim)
        # Zeros: what a mask hides is multiplied by 0, which does not hide what is no number.
        pool = torch.zeros((text_config.num_hidden_layers, 2, *shape), device=device, dtype=dtype)
        self.layers = KeysAndValues(pool[:, 0].unbind(), pool[:, 1].unbind())
        """With `n_tokens + 1` slots."""
        self.token_ids = torch.zeros(n_tokens + 1, device=device, dtype=torch.int64)
        """What was generated for each slot; 0 where the prompt is."""
        self.n_tokens = n_tokens

    def tensors(self) -> Iterator[Tensor]:
        """Return all that it holds: between two runs nothing of it is needed but that it is numbers."""
        yield from (*self.layers.keys, *self.layers.values, self.token_ids)

    @property
    def idle_slot(self) -> int:
        """Belongs to no row: rows that nobody uses read and write here."""
        return self.n_tokens


def bytes_a_token(text_config: Any, dtype: torch.dtype) -> int:
    """Return what one slot of a `Cache` takes: 112 KiB and 8 bytes for both sizes of Qwen3-ASR in bfloat16."""
    width: int = text_config.num_key_value_heads * text_config.head_dim
    return 2 * int(text_config.num_hidden_layers) * width * dtype.itemsize + torch.int64.itemsize


def scratch(text_config: Any, *, n_tokens: int, device: torch.device, dtype: torch.dtype) -> KeysAndValues:
    """Return room for one prefill of which nothing is kept: all layers use the same slots, one after the other."""
    shape = (n_tokens, text_config.num_key_value_heads, text_config.head_dim)
    keys, values = (torch.empty(shape, device=device, dtype=dtype) for _ in range(2))
    n_layers: int = text_config.num_hidden_layers
    return KeysAndValues((keys,) * n_layers, (values,) * n_layers)
