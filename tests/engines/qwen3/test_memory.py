"""What fits is worked out before: on cards of every size, and never more than there is."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_queue.errors import EngineLoadError
from gpu_worker.engines.qwen3.cache import bytes_a_token
from gpu_worker.engines.qwen3.memory import LONGEST_S, Room, context_tokens, most_new_tokens, room

GIB = 1 << 30
PROMPT = 20


def config(hidden: int, feed_forward: int) -> SimpleNamespace:
    """Of a real size, as far as memory goes."""
    return SimpleNamespace(
        text_config=SimpleNamespace(
            hidden_size=hidden,
            intermediate_size=feed_forward,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            vocab_size=151_936,
        ),
        audio_config=SimpleNamespace(downsample_hidden_size=480),
    )


SMALL, LARGE = config(1024, 3072), config(2048, 6144)
WEIGHTS_GIB = {"small": 3.4, "large": 5.9}
"""With the aligner, and 0.7 GiB of libraries."""


def on_a_card(sizes: SimpleNamespace, free_gib: float, max_rows: int = 16) -> Room:
    return room(
        sizes,
        max_rows=max_rows,
        prompt_tokens=PROMPT,
        free_bytes=round(free_gib * GIB),
        device_type="cuda",
        dtype=torch.bfloat16,
    )


@pytest.mark.parametrize(
    ("sizes", "free_gib", "max_rows", "together_s"),
    [
        # A card of 80 GB takes sixteen clips with word times, however long they may be, and twenty minutes beside.
        (SMALL, 75.0, 16, 16 * 300),
        (LARGE, 73.0, 16, 16 * 300),
        (SMALL, 75.0, 64, 32 * 300),
        # One of 24 GB takes every clip of 30 s at once.
        (SMALL, 20.0, 64, 64 * 30),
        (LARGE, 17.0, 64, 64 * 30),
    ],
)
def test_cards_take_what_they_are_bought_for(
    sizes: SimpleNamespace, free_gib: float, max_rows: int, together_s: int
) -> None:
    found = on_a_card(sizes, free_gib, max_rows)
    assert found.longest_s == LONGEST_S
    at_most_s = 30 if together_s == max_rows * 30 else 300
    assert found.cache_tokens >= together_s // at_most_s * context_tokens(at_most_s, prompt_tokens=PROMPT)


def test_twelve_gigabytes_hold_the_small_model_with_shorter_clips() -> None:
    assert 300 < on_a_card(SMALL, 12 - WEIGHTS_GIB["small"] - 0.7).longest_s < LONGEST_S


def test_a_card_that_is_too_small_is_refused_by_name() -> None:
    with pytest.raises(EngineLoadError, match=r"5\.4 GiB left.*ASR_QUEUE_MICRO_BATCH"):
        on_a_card(LARGE, 12 - WEIGHTS_GIB["large"] - 0.7)


@settings(deadline=None)
@given(st.sampled_from([SMALL, LARGE]), st.floats(5.5, 200), st.integers(1, 256))
def test_the_cache_never_takes_more_than_its_share(sizes: SimpleNamespace, free_gib: float, max_rows: int) -> None:
    try:
        found = on_a_card(sizes, free_gib, max_rows)
    except EngineLoadError:
        return
    assert found.cache_tokens * bytes_a_token(sizes.text_config, torch.bfloat16) < 0.9 * free_gib * GIB
    assert found.max_context_tokens == context_tokens(found.longest_s, prompt_tokens=PROMPT) <= found.cache_tokens
    assert 30 <= found.longest_s <= LONGEST_S


@pytest.mark.parametrize(("audio_s", "tokens"), [(0.1, 130), (30, 728), (1200, 24_128)])
def test_a_text_may_have_twenty_tokens_a_second(audio_s: float, tokens: int) -> None:
    assert most_new_tokens(audio_s) == tokens
