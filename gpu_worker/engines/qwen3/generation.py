"""Greedy generation with Qwen3-ASR: a model, its cache and its captured steps, ready for any number of requests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from gpu_worker.engines.qwen3.cache import Cache
from gpu_worker.engines.qwen3.choice import operations_for
from gpu_worker.engines.qwen3.decoder import Decoder
from gpu_worker.engines.qwen3.encoder import AudioEncoder
from gpu_worker.engines.qwen3.graphs import StepGraphs
from gpu_worker.engines.qwen3.inflight import Inflight, Parts
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.requests import Generated, Request
from gpu_worker.engines.qwen3.rows import Rows
from gpu_worker.engines.qwen3.step import decoding_step

__all__ = ["Generated", "Generator", "Request"]

_WARM_UP_SAMPLES: Final = 8_000


class Generator:
    """A model with its cache and captured steps. Not for several threads at once."""

    def __init__(self, model: Any, *, max_rows: int, max_context_tokens: int, cache_tokens: int | None = None) -> None:
        """Take the cache, and on CUDA compile and capture everything that a run needs.

        Args:
            model: a `Qwen3ASRForConditionalGeneration` on its device; some of its weights become views of fused ones.
            max_rows: decoded at once.
            max_context_tokens: most tokens of one request, prompt and `max_new_tokens` together.
            cache_tokens: slots that the rows share, each taking what it needs (`cache.bytes_a_token` says how much
                memory that is); by default every row can have `max_context_tokens`.

        Raises:
            ValueError: the model is of another kind.
            torch.OutOfMemoryError: it does not fit.
        """
        self.max_context_tokens = max_context_tokens
        operations = operations_for(model.config.text_config, model.device, model.dtype)
        decoder = Decoder(model.model.language_model, model.lm_head, operations, max_positions=max_context_tokens)
        device = decoder.device
        n_tokens = max_rows * max_context_tokens if cache_tokens is None else cache_tokens
        cache = Cache(decoder.config, n_tokens=n_tokens, device=device, dtype=decoder.dtype)
        rows = Rows(max_rows, cache, _ids(model.generation_config.eos_token_id))
        with torch.inference_mode():
            step = decoding_step(decoder, rows, cache)
            steps = StepGraphs(step, max_rows=max_rows, max_keys=max_context_tokens, device=device)
        self._parts = Parts(decoder, AudioEncoder(model), LogMel(device), cache, rows, steps)
        if device.type == "cuda":
            self._warm_up()

    def weights(self) -> Iterator[Tensor]:
        """Return every tensor that it computes with and never writes to."""
        yield from self._parts.decoder.weights()
        yield from self._parts.encoder.weights()

    def scratch(self) -> Iterator[Tensor]:
        """Return the cache's tensors, which between two calls may become zeros."""
        yield from self._parts.cache.tensors()

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture the steps anew, after weights or scratch have got other addresses."""
        self._parts.rows.arrange([], [])
        self._parts.steps.capture()

    def forget_steps(self) -> None:
        """Give up the captured steps and their memory."""
        self._parts.steps.forget()

    @contextmanager
    def without_graphs(self) -> Iterator[None]:
        """Let `generate` launch each step's kernels by themselves inside the block: the same numbers, far slower."""
        self._parts.steps.are_used = False
        try:
            yield
        finally:
            self._parts.steps.are_used = True

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Return what follows each prompt, in the order of the requests; however many there are, and in any company.

        Raises:
            ValueError: a request asks for nothing, or does not fit; nothing has been computed then.
            torch.OutOfMemoryError: the device has no room for a prefill; the next call starts afresh.
        """
        for i, request in enumerate(requests):
            self._check(i, request)
        return Inflight(self._parts, requests).run()

    def _warm_up(self) -> None:
        """Have everything in front of the steps compiled and initialised too."""
        silence = np.zeros(_WARM_UP_SAMPLES, np.float32)
        self.generate([Request(samples=silence, before=(0,), after=(0,), max_new_tokens=1)] * 2)

    def _check(self, i: int, request: Request) -> None:
        if request.max_new_tokens < 1:
            raise ValueError(f"Request {i} may generate {request.max_new_tokens} tokens; at least 1 is needed.")
        needed, most = request.n_context, min(self.max_context_tokens, self._parts.cache.n_tokens)
        if needed > most:
            raise ValueError(f"Request {i} needs room for {needed} tokens, but a row has {most} at most.")


def _ids(one_or_more: int | Sequence[int]) -> list[int]:
    return [one_or_more] if isinstance(one_or_more, int) else list(one_or_more)
