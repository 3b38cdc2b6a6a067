"""Which operations a decoder is given: the fastest that work here, and are seen to agree with the plain ones."""

import logging
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor

from gpu_worker.engines.qwen3.flash import FlashOperations
from gpu_worker.engines.qwen3.operations import HeadNorms, LastTokens, Operations, Places, TorchOperations, turns
from gpu_worker.engines.qwen3.packing import Prompt, pack

_logger = logging.getLogger(__name__)

_UNUSABLE: Final = (ImportError, RuntimeError, OSError, subprocess.SubprocessError)
"""What a first launch raises where it is not to be had: no C compiler for Triton, a chip too old for FlashAttention."""
_TOLERANCE: Final = 0.02
"""Four times the largest error of the plain operations in bfloat16."""


def operations_for(text_config: Any, device: torch.device, dtype: torch.dtype) -> Operations:
    """Return what computes this decoder's layers fastest here.

    Triton compiles its kernels on first use, and needs a C compiler for that. A worker without one is right, but takes
    about twice as long for each token: it starts, and says so.
    """
    plain = TorchOperations()
    if device.type != "cuda" or dtype == torch.float32:
        return plain
    candidates: dict[str, Callable[[], Operations]] = {"triton": _triton, "flash": FlashOperations}
    for kind, make in candidates.items():
        try:
            operations = make()
            wrong = disagreements(operations, plain, text_config, device, dtype)
        except torch.OutOfMemoryError:
            raise
        except _UNUSABLE as error:
            wrong = [f"{type(error).__name__}: {error}"]
        if not wrong:
            return operations
        _logger.warning("qwen3_operations_unusable", extra={"kind": kind, "reasons": wrong})
    return plain


def disagreements(
    ours: Operations, plain: Operations, text_config: Any, device: torch.device, dtype: torch.dtype
) -> list[str]:
    """Return the names of operations whose results differ by more than rounding, on random tensors of real widths.

    The plain ones compute in float32, from the same numbers.
    """
    seed = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=seed, device=device, dtype=dtype)

    wrong = []
    # Few rows have their keys split between blocks, a dozen have not.
    for n_rows in (1, 3, 12):
        case = _Case(text_config, n_rows, random)
        results = zip(case.results(ours, dtype), case.results(plain, torch.float32), strict=True)
        for (name, got), (_, wanted) in results:
            if not torch.allclose(got.float(), wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
                wrong.append(f"{name} of {n_rows} rows")
    return wrong


class _Case:
    """The same random tensors for both."""

    def __init__(self, config: Any, n_rows: int, random: Any) -> None:
        self._eps = float(config.rms_norm_eps)
        heads, kv_heads, head_dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self._residual, self._added = random(n_rows, config.hidden_size), random(n_rows, config.hidden_size)
        self._weight = random(config.hidden_size)
        self._gate_up = random(n_rows, 2 * config.intermediate_size)
        self._qkv = random(n_rows, (heads + 2 * kv_heads) * head_dim)
        self._head_weights = random(2, head_dim)
        # Rows of 1, 98, 195, ... keys, which lie the other way round in the cache.
        device, longest = self._qkv.device, 97 * n_rows
        lengths = torch.arange(1, longest, 97, dtype=torch.int32, device=device)
        starts = torch.arange(n_rows, -1, -1, dtype=torch.int32, device=device) * longest
        self._rows = LastTokens(starts, lengths, torch.arange(n_rows + 1, dtype=torch.int32, device=device), longest)
        positions = lengths - 1
        slots = (starts[:-1] + positions).long()
        self._places = Places(positions, slots, turns(config, longest, device))
        self._pool = random(2, (n_rows + 1) * longest, kv_heads, head_dim)
        prompts = [Prompt((0,) * (97 * i + 1), 0, (), (n_rows - i) * longest) for i in range(min(n_rows, 4))]
        self._packed = pack(prompts, device)
        self._prompt_queries = random(len(self._packed.ids), heads, head_dim)

    def results(self, operations: Operations, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        residual, (keys, values) = self._residual.to(dtype, copy=True), self._pool.to(dtype, copy=True)
        weight, (query_weight, key_weight) = self._weight.to(dtype), self._head_weights.to(dtype)
        yield "norm", operations.add_norm(residual, None, weight, self._eps)
        yield "add_norm", operations.add_norm(residual, self._added.to(dtype), weight, self._eps)
        yield "added", residual
        yield "silu_mul", operations.silu_mul(self._gate_up.to(dtype))
        norms = HeadNorms(query_weight, key_weight, self._eps)
        queries = operations.rotate_and_store(self._qkv.to(dtype), norms, self._places, keys, values)
        yield from (("queries", queries), ("keys", keys), ("values", values))
        yield "attend_rows", operations.attend_rows(queries, keys, values, self._rows)
        prompt_queries = self._prompt_queries.to(dtype)
        yield "attend_prompts", operations.attend_prompts(prompt_queries, keys, values, self._packed)


def _triton() -> Operations:
    from gpu_worker.engines.qwen3.triton_operations import TritonOperations

    return TritonOperations()
