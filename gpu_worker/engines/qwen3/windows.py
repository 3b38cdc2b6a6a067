"""Attention inside windows of a packed row of tokens, one call for all of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

from gpu_worker.engines.qwen3.transfer import send


class Windows:
    """Where the windows are, on the device, in the form that its attention wants."""

    def __init__(self, n_tokens: NDArray[np.int64], device: torch.device) -> None:
        """Take the windows' lengths, each at least 1: window after window, they are the packed row."""
        self.longest = int(n_tokens.max())
        ends = np.cumsum([0, *n_tokens])
        self.edges = send(ends.astype(np.int32), device)
        """int32[n_windows + 1]: window i is tokens `edges[i]` to `edges[i + 1]`."""
        place = np.arange(self.longest)
        is_token = place < n_tokens[:, None]
        self.token_at = send(np.where(is_token, ends[:-1, None] + place, 0), device)
        """int64[n_windows, longest]: the token at each place of the windows; any, where there is none."""
        self.is_token = send(is_token, device)
        """bool[n_windows, longest]."""
        self.place_of = send(np.flatnonzero(is_token), device)
        """int64[n_tokens]: the place of each token among all of `token_at`."""


def attend(q: Tensor, k: Tensor, v: Tensor, windows: Windows) -> Tensor:
    """Return [n_tokens, heads, head] of queries, keys and values of that shape: every token sees its whole window."""
    # FlashAttention, the only kernel that takes packed windows, knows no float32 and no CPU.
    if q.is_cuda and q.dtype is torch.bfloat16:
        packed = varlen_attn(q, k, v, windows.edges, windows.edges, windows.longest, windows.longest)
        assert isinstance(packed, Tensor)
        return packed
    return attend_padded(q, k, v, windows)


def attend_padded(q: Tensor, k: Tensor, v: Tensor, windows: Windows) -> Tensor:
    """The same by windows that are filled up to the longest; on any device."""
    q, k, v = (x[windows.token_at].transpose(1, 2) for x in (q, k, v))
    padded = functional.scaled_dot_product_attention(q, k, v, attn_mask=windows.is_token[:, None, None])
    return padded.transpose(1, 2).flatten(0, 1)[windows.place_of]
