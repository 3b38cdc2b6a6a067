"""The decoder's numbers beside those of transformers' `Qwen3Model`, and the room they take."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification

from gpu_worker.engines.qwen3.cache import Cache, bytes_a_token, scratch
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.operations import LastTokens, Operations, TorchOperations
from gpu_worker.engines.qwen3.packing import Prompt, pack
from gpu_worker.engines.qwen3.spans import Spans
from tests.engines.qwen3 import tiny

CPU = torch.device("cpu")
TORCH_OPERATIONS = TorchOperations()
N_PROMPT, N_FORCED, N_ROWS = 20, 30, 6


def forced_ids() -> Tensor:
    return torch.randint(0, 250, (N_ROWS, N_PROMPT + N_FORCED), generator=torch.Generator().manual_seed(1))


def our_logits(
    model: Qwen3ASRForConditionalGeneration, ids: Tensor, operations: Operations = TORCH_OPERATIONS
) -> Tensor:
    """Prefill the prompts, then feed the given tokens one by one; [rows, N_FORCED + 1, vocabulary]."""
    device = ids.device
    decoder = Decoder(model.model.language_model, model.lm_head, operations, max_positions=100)
    cache = Cache(model.config.text_config, n_tokens=400, device=device, dtype=decoder.dtype)
    row_starts = [60 * i for i in reversed(range(N_ROWS))]
    prompts = [Prompt(tuple(row[:N_PROMPT].tolist()), 0, (), start) for row, start in zip(ids, row_starts, strict=True)]
    packed = pack(prompts, device)
    logits = [decoder.prefill(decoder.embed(packed.ids), packed, cache.layers)]
    starts = torch.tensor([*row_starts, 0], dtype=torch.int32, device=device)
    edges = torch.arange(N_ROWS + 1, dtype=torch.int32, device=device)
    for position in range(N_PROMPT, N_PROMPT + N_FORCED):
        positions = torch.full((N_ROWS,), position, dtype=torch.int32, device=device)
        rows = LastTokens(starts, positions + 1, edges, 100)
        logits.append(decoder.step(ids[:, position], positions, rows, cache.layers))
    return torch.stack(logits, 1)


def native_logits(model: Qwen3ASRForConditionalGeneration, ids: Tensor) -> Tensor:
    return model(input_ids=ids).logits[:, N_PROMPT - 1 :]


def in_bfloat16(model: Qwen3ASRForConditionalGeneration) -> Qwen3ASRForConditionalGeneration:
    """The model as it is loaded in this type: the rotation's frequencies stay in float32."""
    rotary = model.model.language_model.rotary_emb
    frequencies = rotary.inv_freq.clone()
    model.to(torch.bfloat16)
    rotary.inv_freq = frequencies.to(rotary.inv_freq.device)
    return model


def test_in_full_precision_the_logits_are_those_of_transformers(tiny_asr: Qwen3ASRForConditionalGeneration) -> None:
    ids = forced_ids()
    torch.testing.assert_close(our_logits(tiny_asr, ids), native_logits(tiny_asr, ids), atol=2e-4, rtol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_half_precision_the_error_is_no_larger_than_that_of_transformers(seed: int) -> None:
    ids = forced_ids()
    exact = native_logits(tiny.asr_model(seed), ids)
    half = in_bfloat16(tiny.asr_model(seed))
    ours, theirs = (our_logits(half, ids) - exact).square().mean(), (native_logits(half, ids) - exact).square().mean()
    assert ours <= theirs


def test_packed_prompts_get_the_classes_of_any_of_their_tokens_as_the_aligner_gives_them(
    tiny_aligner: Qwen3ASRForTokenClassification,
) -> None:
    language_model = tiny_aligner.model.language_model
    decoder = Decoder(language_model, tiny_aligner.score, TorchOperations(), max_positions=100)
    ids = forced_ids()
    lengths = [50, 3, 17, 1, 29, 8]
    prompts = [
        Prompt(tuple(row[:n].tolist()), 0, (), sum(lengths[:i]))
        for i, (row, n) in enumerate(zip(ids, lengths, strict=True))
    ]
    packed = pack(prompts, CPU)
    room = scratch(language_model.config, n_tokens=sum(lengths), device=CPU, dtype=torch.float32)
    got = decoder.prefill(decoder.embed(packed.ids), packed, room, tokens=torch.arange(0, sum(lengths), 2))
    alone = [tiny_aligner(input_ids=row[None, :n]).logits[0] for row, n in zip(ids, lengths, strict=True)]
    torch.testing.assert_close(got, torch.cat(alone)[::2], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"attention_bias": True}, "attention_bias=True"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding_attention"),
    ],
)
def test_a_decoder_of_another_kind_is_refused(change: dict[str, int], named: str) -> None:
    model = tiny.asr_model(**change)
    with pytest.raises(ValueError, match=named):
        Decoder(model.model.language_model, model.lm_head, TorchOperations(), max_positions=100)


def test_the_cache_takes_as_many_bytes_a_token_as_is_said() -> None:
    config = tiny.config().text_config
    cache = Cache(config, n_tokens=99, device=CPU, dtype=torch.bfloat16)
    held = cache.layers.keys[0].untyped_storage().nbytes() + cache.token_ids.untyped_storage().nbytes()
    assert held == 100 * bytes_a_token(config, torch.bfloat16)
    assert cache.idle_slot == 99


def test_the_real_models_take_112_kib_a_token_and_its_id() -> None:
    real = tiny.config(num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128).text_config
    assert bytes_a_token(real, torch.bfloat16) == 112 * 1024 + 8


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 60), st.integers(-9, -1)), max_size=60))
def test_spans_never_overlap_and_nothing_is_lost(actions: list[int]) -> None:
    spans, held = Spans(100), list[tuple[int, int]]()
    for action in actions:
        if action < 0:
            if held:
                spans.give_back(*held.pop(action % len(held)))
            continue
        start = spans.take(action)
        if start is None:
            gaps = zip([0, *(s + n for s, n in sorted(held))], [*(s for s, _ in sorted(held)), 100], strict=True)
            assert all(end - begin < action for begin, end in gaps)
        else:
            held.append((start, action))
            taken = [slot for s, n in held for slot in range(s, s + n)]
            assert len(taken) == len(set(taken))
            assert max(taken) < 100
    for span in held:
        spans.give_back(*span)
    assert spans.take(100) == 0
