"""What only a GPU can show: captured steps, FlashAttention and compiled kernels. CI has none, so these skip there."""

from collections.abc import Iterator

import pytest
import torch

from gpu_worker.engines.qwen3.choice import disagreements, operations_for
from gpu_worker.engines.qwen3.flash import FlashOperations
from gpu_worker.engines.qwen3.generation import Generated, Generator
from gpu_worker.engines.qwen3.operations import TorchOperations
from tests.engines.qwen3 import tiny
from tests.engines.qwen3.test_decoder import forced_ids, in_bfloat16, native_logits, our_logits
from tests.engines.qwen3.test_generation import CASES, MAX_CONTEXT_TOKENS, native

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = torch.device("cuda")
REAL_HEADS = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 256}


@pytest.fixture(scope="module")
def half() -> Iterator[Generator]:
    yield Generator(tiny.asr_model().to(CUDA, torch.bfloat16), max_rows=7, max_context_tokens=MAX_CONTEXT_TOKENS)
    torch.cuda.empty_cache()


def test_captured_steps_in_full_precision_give_what_transformers_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    # Convolutions are rounded to 10 bits otherwise.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    generator = Generator(tiny.asr_model().to(CUDA), max_rows=5, max_context_tokens=MAX_CONTEXT_TOKENS)
    for _ in range(2):
        assert generator.generate([case.request() for case in CASES]) == [native(case) for case in CASES]
    assert [generator.generate([case.request()])[0] for case in CASES] == [native(case) for case in CASES]


def test_flash_attention_and_triton_agree_with_plain_pytorch_on_real_heads() -> None:
    from gpu_worker.engines.qwen3.triton_operations import TritonOperations

    config = tiny.config(**REAL_HEADS).text_config
    for operations in (FlashOperations(), TritonOperations()):
        assert disagreements(operations, TorchOperations(), config, CUDA, torch.bfloat16) == []
    assert isinstance(operations_for(config, CUDA, torch.bfloat16), TritonOperations)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_half_precision_the_error_is_no_larger_than_that_of_transformers(seed: int) -> None:
    ids = forced_ids()
    exact = native_logits(tiny.asr_model(seed), ids)
    model = in_bfloat16(tiny.asr_model(seed).to(CUDA))
    theirs = native_logits(model, ids.to(CUDA)).cpu()
    operations = operations_for(model.config.text_config, CUDA, torch.bfloat16)
    ours = our_logits(model, ids.to(CUDA), operations).cpu()
    # Matrix products are rounded differently at other sizes, which is chance and not ours.
    assert (ours - exact).square().mean() <= 1.1 * (theirs - exact).square().mean()


def test_the_same_call_gives_the_same_tokens_again(half: Generator) -> None:
    requests = [case.request() for case in CASES]
    first: list[Generated] = half.generate(requests)
    assert any(one.token_ids for one in first)
    assert half.generate(requests) == first


def test_no_memory_is_taken_by_a_second_call(half: Generator) -> None:
    requests = [case.request() for case in CASES]
    half.generate(requests)
    before = torch.cuda.memory_allocated()
    half.generate(requests)
    assert torch.cuda.memory_allocated() == before
