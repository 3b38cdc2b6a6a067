"""Generation gives exactly the tokens that transformers' own `generate` gives to each clip alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen3ASRForConditionalGeneration

from gpu_worker.engines.qwen3.encoder import n_tokens
from gpu_worker.engines.qwen3.generation import Generated, Generator, Request
from gpu_worker.engines.qwen3.mel import LogMel
from tests.engines.qwen3 import tiny

MAX_CONTEXT_TOKENS = 360


@dataclass(frozen=True)
class Case:
    duration_s: float
    language: str | None
    max_new_tokens: int

    def request(self) -> Request:
        before, after = tiny.prompt_ids(self.language)
        return Request(
            samples=tiny.clip(self.duration_s), before=before, after=after, max_new_tokens=self.max_new_tokens
        )


CASES = [
    Case(duration_s, language, max_new_tokens)
    for duration_s, language, max_new_tokens in [
        (0.1, None, 40),
        (0.5, "English", 40),
        (1.0, None, 40),
        (2.34, "French", 3),
        (3.3, None, 40),
        (5.0, "German", 40),
        (7.99, None, 40),
        (8.0, "English", 1),
        (8.6, "French", 40),
        (12.0, None, 40),
        (15.21, "Korean", 40),
        (19.0, None, 40),
    ]
]


@cache
def native(case: Case) -> Generated:
    """What transformers makes of the clip alone."""
    model, processor = tiny.asr_model(), tiny.processor()
    inputs = processor.apply_transcription_request([tiny.clip(case.duration_s)], language=case.language)
    out = model.generate(**inputs, do_sample=False, max_new_tokens=case.max_new_tokens)
    ids = out[0, inputs["input_ids"].shape[1] :].tolist()
    ends = [i for i, token in enumerate(ids) if token in model.config.eos_token_id]
    return Generated(tuple(ids[: ends[0]] if ends else ids), is_truncated=not ends)


@pytest.fixture(scope="module")
def generator(tiny_asr: Qwen3ASRForConditionalGeneration) -> Generator:
    return Generator(tiny_asr, max_rows=4, max_context_tokens=MAX_CONTEXT_TOKENS)


@pytest.fixture(scope="module")
def small_generator(tiny_asr: Qwen3ASRForConditionalGeneration) -> Generator:
    """More rows than its cache has room for."""
    return Generator(tiny_asr, max_rows=5, max_context_tokens=MAX_CONTEXT_TOKENS, cache_tokens=MAX_CONTEXT_TOKENS + 90)


def test_the_cases_end_in_different_ways() -> None:
    lengths = [len(native(case).token_ids) for case in CASES]
    assert len(set(lengths)) > len(CASES) // 2
    assert {native(case).is_truncated for case in CASES} == {True, False}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_clip_alone_gives_what_transformers_gives(generator: Generator, case: Case) -> None:
    assert generator.generate([case.request()]) == [native(case)]


def test_more_clips_than_rows_give_each_what_it_gives_alone(generator: Generator) -> None:
    assert generator.generate([case.request() for case in CASES]) == [native(case) for case in CASES]


@settings(max_examples=15, deadline=None)
@given(chosen=st.lists(st.sampled_from(CASES), min_size=1, max_size=9), is_small=st.booleans())
def test_company_and_order_change_nothing(
    generator: Generator, small_generator: Generator, chosen: list[Case], is_small: bool
) -> None:
    used = small_generator if is_small else generator
    assert used.generate([case.request() for case in chosen]) == [native(case) for case in chosen]


@settings(max_examples=10, deadline=None)
@given(durations_s=st.lists(st.floats(0.05, 9.0), min_size=2, max_size=5), max_new_tokens=st.integers(1, 24))
def test_any_lengths_give_what_each_gives_alone(
    generator: Generator, durations_s: list[float], max_new_tokens: int
) -> None:
    cases = [Case(duration_s, None, max_new_tokens) for duration_s in durations_s]
    assert generator.generate([case.request() for case in cases]) == [native(case) for case in cases]


@settings(max_examples=60, deadline=None)
@given(n_samples=st.integers(1, 40_000))
def test_a_request_knows_how_many_tokens_its_audio_becomes(n_samples: int) -> None:
    samples = tiny.clip(3)[:n_samples]
    _, (n_frames,) = LogMel(torch.device("cpu"))([samples])
    assert Request(samples=samples, before=(), after=(), max_new_tokens=1).n_audio == n_tokens(n_frames)


def test_nothing_is_generated_of_nothing(generator: Generator) -> None:
    assert generator.generate([]) == []


def test_a_hint_changes_what_is_generated(generator: Generator) -> None:
    free, hinted = Case(5.0, None, 40), Case(5.0, "French", 40)
    assert native(free) != native(hinted)
    assert generator.generate([free.request(), hinted.request()]) == [native(free), native(hinted)]


def test_a_text_that_just_fits_is_not_truncated_and_one_token_less_truncates_it(generator: Generator) -> None:
    case = next(case for case in CASES if not native(case).is_truncated and len(native(case).token_ids) > 4)
    whole = native(case).token_ids
    fits, cut = generator.generate(
        [replace(case.request(), max_new_tokens=len(whole) + 1), replace(case.request(), max_new_tokens=len(whole))]
    )
    assert (fits, cut) == (Generated(whole, is_truncated=False), Generated(whole, is_truncated=True))


def test_a_text_may_end_before_its_first_token() -> None:
    case = next(case for case in CASES if native(case).token_ids)
    model = tiny.asr_model()
    model.generation_config.eos_token_id = native(case).token_ids[0]
    generator = Generator(model, max_rows=2, max_context_tokens=MAX_CONTEXT_TOKENS)
    others = [generator.generate([other.request()])[0] for other in CASES]
    assert generator.generate([case.request()]) == [Generated((), is_truncated=False)]
    assert generator.generate([other.request() for other in CASES]) == others


def test_a_request_without_room_for_a_token_is_refused(generator: Generator) -> None:
    request = replace(CASES[0].request(), max_new_tokens=0)
    with pytest.raises(ValueError, match="Request 1 may generate 0 tokens"):
        generator.generate([CASES[1].request(), request])


def test_a_request_that_does_not_fit_a_row_is_refused_and_one_that_just_does_is_not(generator: Generator) -> None:
    request = CASES[-1].request()
    room = MAX_CONTEXT_TOKENS - request.n_prompt
    with pytest.raises(ValueError, match=f"Request 0 needs room for 361 tokens, but a row has {MAX_CONTEXT_TOKENS}"):
        generator.generate([replace(request, max_new_tokens=room + 1)])
    assert generator.generate([replace(request, max_new_tokens=room)])[0].token_ids


def test_the_model_itself_still_works_and_shares_its_weights(tiny_asr: Any, generator: Generator) -> None:
    attention = tiny_asr.model.language_model.layers[0].self_attn
    assert attention.q_proj.weight.untyped_storage().data_ptr() == attention.v_proj.weight.untyped_storage().data_ptr()
    inputs = tiny.processor().apply_transcription_request([tiny.clip(3.3)])
    assert torch.equal(tiny_asr(**inputs).logits, tiny.asr_model()(**inputs).logits)


class OutOfMemoryOnce(TorchDispatchMode):
    """The n-th operation finds no memory."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError("nothing left")
        return func(*args, **(kwargs or {}))


@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 9000))
def test_wherever_memory_runs_out_the_next_call_is_right(generator: Generator, n: int) -> None:
    chosen: Sequence[Case] = CASES[:6]
    counter = OutOfMemoryOnce(n)
    try:
        with counter:
            got = generator.generate([case.request() for case in chosen])
    except torch.OutOfMemoryError:
        pass
    else:
        assert counter.left > 0
        assert got == [native(case) for case in chosen]
    assert generator.generate([case.request() for case in chosen]) == [native(case) for case in chosen]
