"""A step is something that a CUDA graph can hold: it never asks for a value, and works on tensors that stay."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen3ASRForConditionalGeneration

from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.graphs import Step, StepGraphs
from gpu_worker.engines.qwen3.operations import TorchOperations
from gpu_worker.engines.qwen3.packing import Prompt, pack
from gpu_worker.engines.qwen3.rows import NewRow, Rows
from gpu_worker.engines.qwen3.step import decoding_step
from tests.engines.qwen3 import tiny

CPU = torch.device("cpu")
MAX_ROWS, N_KEYS = 5, 64


class Bench:
    """A decoder, its cache and its rows, as a generator has them."""

    def __init__(self, model: Qwen3ASRForConditionalGeneration) -> None:
        self.decoder = Decoder(model.model.language_model, model.lm_head, TorchOperations(), max_positions=N_KEYS)
        self.cache = Cache(model.config.text_config, n_tokens=400, device=CPU, dtype=torch.float32)
        self.rows = Rows(MAX_ROWS, self.cache, model.config.eos_token_id)
        self.step: Step = decoding_step(self.decoder, self.rows, self.cache)

    def begin(self, prompts: list[Prompt], max_new_tokens: int) -> None:
        self.rows.arrange([], [NewRow(prompt.start, prompt.length, max_new_tokens) for prompt in prompts])
        packed = pack(prompts, CPU)
        logits = self.decoder.prefill(self.decoder.embed(packed.ids), packed, self.cache.layers)
        self.rows.write(self.rows.view(0, len(prompts)), logits.argmax(-1))


@pytest.fixture
def bench(tiny_asr: Qwen3ASRForConditionalGeneration) -> Bench:
    return Bench(tiny_asr)


class Recorder(TorchDispatchMode):
    """Every operation with the shapes it took and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        shapes = [tuple(one.shape) for one in (*args, out) if isinstance(one, torch.Tensor)]
        self.calls.append((str(func), shapes))
        return out


def test_a_step_never_asks_for_a_value() -> None:
    # Fake tensors have no values: what needs one, or a shape that depends on one, raises.
    with FakeTensorMode(), torch.inference_mode():
        bench = Bench(tiny.asr_model())
        bench.step(3, N_KEYS)
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            bench.rows.view(0, 3).positions.nonzero()


def test_a_step_is_the_same_operations_on_the_same_shapes_whatever_the_rows_hold(bench: Bench) -> None:
    recorded = []
    for prompts in ([], [Prompt((5, 6, 7), 0, (), 30)], [Prompt((i,) * (9 * i), 0, (), 50 * i) for i in range(1, 5)]):
        if prompts:
            bench.begin(prompts, max_new_tokens=10)
        with Recorder() as recorder:
            bench.step(4, N_KEYS)
        recorded.append(recorder.calls)
    assert recorded[0] == recorded[1] == recorded[2]
    assert len(recorded[0]) > 100


def test_a_step_changes_only_tensors_that_stay_where_they_are(bench: Bench) -> None:
    view = bench.rows.view(0, MAX_ROWS)
    tensors = (*bench.cache.layers.keys, *bench.cache.layers.values, bench.cache.token_ids, *view)
    before = [tensor.data_ptr() for tensor in tensors]
    bench.begin([Prompt((5, 6, 7), 0, (), 30)], max_new_tokens=10)
    for _ in range(3):
        bench.step(2, N_KEYS)
    assert [tensor.data_ptr() for tensor in tensors] == before
    assert [tensor.data_ptr() for tensor in bench.rows.view(0, MAX_ROWS)] == before[-4:]


def test_steps_after_the_end_change_nothing_of_any_row(bench: Bench) -> None:
    bench.begin([Prompt((7, 8), 0, (), 0), Prompt((9,), 0, (), 40)], max_new_tokens=4)
    for _ in range(4):
        bench.step(4, N_KEYS)
    assert bench.rows.progress()[1].tolist() == [1] * (MAX_ROWS + 1)
    ids, progress = bench.cache.token_ids.clone(), bench.rows.progress().clone()
    for _ in range(3):
        bench.step(4, N_KEYS)
    assert torch.equal(bench.cache.token_ids, ids)
    assert torch.equal(bench.rows.progress(), progress)


def test_rows_that_move_and_rows_that_come_later_go_on_as_if_alone(bench: Bench) -> None:
    prompts = [Prompt((3 * i, 3 * i + 1, 3 * i + 2), 0, (), 40 * i) for i in range(5)]
    bench.begin(prompts, max_new_tokens=12)
    for _ in range(11):
        bench.step(5, N_KEYS)
    alone = [bench.cache.token_ids[40 * i : 40 * i + 15].tolist() for i in range(5)]
    bench.cache.token_ids.zero_()
    bench.begin(prompts[:4], max_new_tokens=12)
    bench.step(4, N_KEYS)
    bench.rows.arrange([3, 1], [NewRow(160, 3, 12)])
    packed = pack(prompts[4:], CPU)
    logits = bench.decoder.prefill(bench.decoder.embed(packed.ids), packed, bench.cache.layers)
    bench.rows.write(bench.rows.view(2, 3), logits.argmax(-1))
    for _ in range(11):
        bench.step(3, N_KEYS)
    for i in (1, 3, 4):
        assert bench.cache.token_ids[40 * i : 40 * i + 15].tolist() == alone[i]


def test_a_size_between_two_runs_as_the_next_larger_and_keys_are_bounded() -> None:
    ran: list[tuple[int, int]] = []
    graphs = StepGraphs(lambda n_rows, n_keys: ran.append((n_rows, n_keys)), max_rows=20, max_keys=200, device=CPU)
    for n_rows, n_keys in ((1, 1), (2, 64), (3, 65), (9, 190), (17, 200), (20, 200)):
        graphs.run(n_rows, n_keys)
    assert ran == [(1, 64), (2, 64), (4, 128), (16, 192), (20, 200), (20, 200)]
    assert graphs.size_for(0) == 1
