"""One token more for each running row: what a CUDA graph holds."""

import torch

from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.graphs import Step
from gpu_worker.engines.qwen3.operations import LastTokens
from gpu_worker.engines.qwen3.rows import Rows


def decoding_step(decoder: Decoder, rows: Rows, cache: Cache) -> Step:
    """Return a step over these parts: feed each row's last token, take the likeliest next one, write it or end the row.

    It works on tensors that stay, its shapes depend on its two numbers alone, and it never asks for a value.
    """
    edges = torch.arange(rows.max_rows + 1, dtype=torch.int32, device=decoder.device)

    def step(n_rows: int, n_keys: int) -> None:
        view = rows.view(0, n_rows)
        last_tokens = LastTokens(
            starts=rows.starts_and_one(n_rows),
            lengths=view.positions + 1,
            edges=edges[: n_rows + 1],
            n_keys=n_keys,
        )
        ids = cache.token_ids[view.starts + view.positions]
        logits = decoder.step(ids, view.positions, last_tokens, cache.layers)
        rows.write(view, logits.argmax(-1))

    return step
