"""Triton's kernels say what plain PyTorch says; where there is no GPU, Triton's interpreter runs them."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from gpu_worker.engines.qwen3.choice import disagreements, operations_for
from gpu_worker.engines.qwen3.operations import TorchOperations
from tests.engines.qwen3 import tiny

CPU: Final = torch.device("cpu")
PROGRAM: Final = """
import torch
from gpu_worker.engines.qwen3.choice import disagreements
from gpu_worker.engines.qwen3.operations import TorchOperations
from gpu_worker.engines.qwen3.triton_operations import TritonOperations
from tests.engines.qwen3 import tiny

class OnCpu(TritonOperations):
    attend_prompts = TorchOperations.attend_prompts

# The interpreter has no bfloat16 on tensor cores, and nothing has FlashAttention on a CPU.
if torch.cuda.is_available():
    where, operations = (torch.device("cuda"), torch.bfloat16), TritonOperations()
else:
    where, operations = (torch.device("cpu"), torch.float16), OnCpu()
torch.set_num_threads(1)
heads = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
config = tiny.config(**heads, hidden_size=72, intermediate_size=1100).text_config
print(disagreements(operations, TorchOperations(), config, *where))
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with PyTorch for CUDA, or by itself")
def test_all_kernels_agree_with_plain_pytorch_on_real_heads_and_odd_widths() -> None:
    # Triton asks for this variable when it is imported, so it cannot be set in this process.
    mode = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **mode},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split("\n")) == (0, ["[]", ""]), ran.stderr


class _WrongAttention(TorchOperations):
    def attend_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: Any) -> Tensor:
        return super().attend_rows(queries, keys, values, rows._replace(lengths=(rows.lengths - 1).clamp(min=1)))


def test_an_operation_that_leaves_the_last_key_out_is_found() -> None:
    found = disagreements(_WrongAttention(), TorchOperations(), tiny.config().text_config, CPU, torch.float16)
    assert found == ["attend_rows of 3 rows", "attend_rows of 12 rows"]


def test_without_a_gpu_plain_pytorch_computes() -> None:
    config = tiny.config().text_config
    assert isinstance(operations_for(config, CPU, torch.bfloat16), TorchOperations)
    assert isinstance(operations_for(config, CPU, torch.float32), TorchOperations)
