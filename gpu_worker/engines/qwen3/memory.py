"""What fits: worked out from lengths and widths before anything is asked of the device.

    free ┬ spare        a tenth (on a processor half): fragments, captured graphs, neighbours
         ├ work         what the largest prefill, its encoder and the logits take while they are computed
         └ cache        keys and values: so many tokens, shared by the rows as they need them

So nothing that is let in can run out of memory by its length: a row waits until the cache has room for all of it.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch

from asr_queue.errors import EngineNoRoomError
from gpu_worker.engines.qwen3.cache import bytes_a_token
from gpu_worker.engines.qwen3.encoder import TOKENS_A_SECOND
from gpu_worker.engines.qwen3.inflight import MAX_PREFILL_TOKENS

LONGEST_S: Final = 1200.0
"""Of the model (qwen-asr 0.0.6)."""
LONGEST_WITH_WORDS_S: Final = 300.0
"""Of the aligner (arXiv 2601.21337)."""
_LEAST_LONGEST_S: Final = 30.0
"""A device that cannot take even this is of no use."""
_NEW_TOKENS_A_SECOND: Final = 20
_NEW_TOKENS: Final = 128
"""With that rate, more than anybody says: speech has 2 to 8 tokens a second, so what goes on longer runs in circles."""

_SHARE: Final = {"cuda": 0.9, "cpu": 0.5}
_MARGIN: Final = 1.25
"""Of the work's memory, for what the allocator rounds up."""
_CONVOLVED_ELEMENTS: Final = 128 * 50 * 64
"""Seconds that are convolved at once, frames and bands that are left of each: times channels, the largest tensor."""
_SPECTRA_BYTES: Final = 512 << 20
"""Two copies of 512 seconds of overlapping frames in float32, and their spectra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a device has room for."""

    max_context_tokens: int
    """Of one row, prompt and answer."""
    cache_tokens: int
    """Of all rows together, at least those of one."""
    longest_s: float
    """Audio of one row."""


def most_new_tokens(audio_s: float) -> int:
    """Return how many tokens a clip's text may have before it is cut off."""
    return math.ceil(_NEW_TOKENS_A_SECOND * audio_s) + _NEW_TOKENS


def context_tokens(audio_s: float, *, prompt_tokens: int) -> int:
    """Return how many tokens a clip takes at most: what stands around it, itself, and the answer."""
    return prompt_tokens + math.ceil(TOKENS_A_SECOND * audio_s) + most_new_tokens(audio_s)


def room(
    config: Any, *, max_rows: int, prompt_tokens: int, free_bytes: int, device_type: str, dtype: torch.dtype
) -> Room:
    """Return what fits beside the weights, which are on the device already.

    A large device gets a cache for `max_rows` clips of 300 s and one of 1,200 s; more would lie idle.

    Args:
        config: a `Qwen3ASRConfig`.
        max_rows: decoded at once.
        prompt_tokens: most that stand around any audio.
        free_bytes: what nobody uses.
        device_type: "cuda" or "cpu".
        dtype: of the weights, and so of what is computed.

    Raises:
        EngineNoRoomError: not even a clip of 30 s fits.
    """
    text = config.text_config
    for_cache = _SHARE[device_type] * free_bytes - _work_bytes(config, max_rows, dtype)
    affordable = int(for_cache // bytes_a_token(text, dtype))
    wanted = sum(
        rows * context_tokens(audio_s, prompt_tokens=prompt_tokens)
        for rows, audio_s in ((max_rows, LONGEST_WITH_WORDS_S), (1, LONGEST_S))
    )
    cache_tokens = min(affordable, wanted)
    longest_s = min(LONGEST_S, _longest_s(cache_tokens, prompt_tokens))
    if longest_s < _LEAST_LONGEST_S:
        raise EngineNoRoomError(
            f"The device has {free_bytes / 2**30:.1f} GiB left beside the weights: too little for a clip of "
            f"{_LEAST_LONGEST_S:g} s. Free some, take a smaller model, or a smaller ASR_QUEUE_MICRO_BATCH."
        )
    most = context_tokens(longest_s, prompt_tokens=prompt_tokens)
    return Room(max_context_tokens=most, cache_tokens=cache_tokens, longest_s=longest_s)


def _longest_s(n_tokens: int, prompt_tokens: int) -> float:
    """Return what audio `context_tokens` makes into at most so many tokens, in whole seconds."""
    left = n_tokens - prompt_tokens - _NEW_TOKENS
    return float(max(0, left // (TOKENS_A_SECOND + _NEW_TOKENS_A_SECOND)))


def _work_bytes(config: Any, max_rows: int, dtype: torch.dtype) -> float:
    text, audio = config.text_config, config.audio_config
    heads = text.num_attention_heads + 2 * text.num_key_value_heads
    # Of one token in one layer: the residual and its norms, queries to values, gate and up and their product; once in
    # the weights' type, and at most once more in float32, in which the steps between the matrix products compute.
    widths = 4 * text.hidden_size + 2 * heads * text.head_dim + 3 * text.intermediate_size
    prefill = MAX_PREFILL_TOKENS * widths * (dtype.itemsize + torch.float32.itemsize)
    convolved = 3 * _CONVOLVED_ELEMENTS * audio.downsample_hidden_size * dtype.itemsize
    logits = max_rows * text.vocab_size * (dtype.itemsize + torch.float32.itemsize)
    total: float = _MARGIN * (prefill + convolved + logits + _SPECTRA_BYTES)
    return total
