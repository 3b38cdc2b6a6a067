"""The four ways from samples to token ids that are compared, behind one interface; each is imported where it runs."""
# ruff: noqa: D102 - `Side` says what the methods do

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.qwen3 import models, vocabulary
from benchmarks.qwen3.sizes import Size
from benchmarks.qwen3.workloads import AUDIO_TOKENS_A_SECOND, PROMPT_TOKENS, SAMPLE_RATE_HZ, Workload

Clips = Sequence[NDArray[np.float32]]


class Side(Protocol):
    """One way; made in a process of its own."""

    setup_s: dict[str, float]
    """What was done before the first clip, and how long it took."""

    def generate(self, clips: Clips, n_new_tokens: Sequence[int]) -> int:
        """Return how many ids are on the host at the end; every clip gets at least its number."""

    def spectra(self, clips: Clips) -> Any:
        """Return what `hear` takes, on the device."""

    def hear(self, spectra: Any) -> None:
        """Encode the audio."""


class Official:
    """The authors' package: what `Qwen3ASRModel.transcribe` does, without turning ids into text."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from benchmarks.qwen3.official import package

        self.setup_s: dict[str, float] = {}
        official = package()
        from qwen_asr.core.transformers_backend import Qwen3ASRProcessor

        model = models.official(size, vocabulary.read_ids(folder), device, dtype)
        processor = Qwen3ASRProcessor.from_pretrained(folder)
        self._recogniser = official.Qwen3ASRModel("transformers", model, processor)
        self._prompt = self._recogniser._build_text_prompt("", None)
        self._device, self._dtype = device, dtype

    def generate(self, clips: Clips, n_new_tokens: Sequence[int]) -> int:
        inputs = self._recogniser.processor(
            text=[self._prompt] * len(clips), audio=list(clips), return_tensors="pt", padding=True
        )
        inputs = inputs.to(self._device).to(self._dtype)
        made = self._recogniser.model.generate(**inputs, max_new_tokens=max(n_new_tokens)).sequences
        return int(made[:, inputs["input_ids"].shape[1] :].cpu().numel())

    def spectra(self, clips: Clips) -> Any:
        extract = self._recogniser.processor.feature_extractor
        made = extract(
            list(clips),
            sampling_rate=SAMPLE_RATE_HZ,
            padding=True,
            truncation=False,
            return_attention_mask=True,
            return_tensors="pt",
        ).to(self._device)
        return made["input_features"].to(self._dtype), made["attention_mask"]

    @torch.no_grad()
    def hear(self, spectra: Any) -> None:
        features, mask = spectra
        self._recogniser.model.thinker.get_audio_features(features, feature_attention_mask=mask)


class Native:
    """transformers' own `generate`, with the cache that it makes by itself."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import Qwen2Tokenizer, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

        self.setup_s: dict[str, float] = {}
        self._model = models.recogniser(size, vocabulary.read_ids(folder), device, dtype)
        self._extract = Qwen3ASRFeatureExtractor()
        self._processor = Qwen3ASRProcessor(
            self._extract, Qwen2Tokenizer.from_pretrained(folder), chat_template=vocabulary.CHAT_TEMPLATE
        )
        self._device, self._dtype = device, dtype

    def generate(self, clips: Clips, n_new_tokens: Sequence[int]) -> int:
        inputs = self._processor.apply_transcription_request(list(clips)).to(self._device, self._dtype)
        n_prompt, n_new = inputs["input_ids"].shape[1], max(n_new_tokens)
        options = self._options(len(clips), n_prompt + n_new)
        made = self._model.generate(**inputs, do_sample=False, max_new_tokens=n_new, **options)
        return int(made[:, n_prompt:].cpu().numel())

    def _options(self, rows: int, context: int) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def spectra(self, clips: Clips) -> Any:
        made = self._extract(list(clips), sampling_rate=SAMPLE_RATE_HZ, padding=True, return_attention_mask=True).to(
            self._device
        )
        return made["input_features"].to(self._dtype), made["attention_mask"]

    @torch.no_grad()
    def hear(self, spectra: Any) -> None:
        self._model.get_audio_features(*spectra)


class Compiled(Native):
    """The same with a static cache that is kept, and the decoding step compiled."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(size, folder, device, dtype)
        self._caches: dict[tuple[int, int], Any] = {}

    def _options(self, rows: int, context: int) -> dict[str, Any]:
        from transformers import CompileConfig, StaticCache

        key = (rows, -(-context // 64) * 64)
        if key not in self._caches:
            # One at a time: a compiled step belongs to one batch size, and its graphs to the addresses of one cache.
            torch.compiler.reset()
            self._caches = {key: StaticCache(config=self._model.config.get_text_config(), max_cache_len=key[1])}
        self._caches[key].reset()
        is_compiled = self._device.type == "cuda"
        return {"past_key_values": self._caches[key], "compile_config": CompileConfig() if is_compiled else None}


class Ours:
    """`gpu_worker.engines.qwen3`."""

    def __init__(
        self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype, workloads: Sequence[Workload]
    ) -> None:
        from gpu_worker.engines.qwen3.encoder import AudioEncoder
        from gpu_worker.engines.qwen3.generation import Generator
        from gpu_worker.engines.qwen3.mel import LogMel

        ids = vocabulary.read_ids(folder)
        model = models.recogniser(size, ids, device, dtype)
        self._log_mel, self._encoder = LogMel(device), AudioEncoder(model)
        began_s = time.perf_counter()
        self._generator = Generator(
            model,
            max_rows=max(workload.at_once for workload in workloads),
            max_context_tokens=max(_context_tokens(workload) for workload in workloads),
        )
        _synchronise(device)
        self.setup_s = {"cache, kernels and graphs": time.perf_counter() - began_s}
        self._before = tuple(ids[token] for token in ("<|im_start|>", "system", "\n", "<|im_end|>", "\n"))
        self._before += tuple(ids[token] for token in ("<|im_start|>", "user", "\n", "<|audio_start|>"))
        self._behind = tuple(ids[token] for token in ("<|audio_end|>", "<|im_end|>", "\n"))
        self._behind += tuple(ids[token] for token in ("<|im_start|>", "assistant", "\n"))

    def generate(self, clips: Clips, n_new_tokens: Sequence[int]) -> int:
        from gpu_worker.engines.qwen3.requests import Request

        requests = [
            Request(samples=clip, before=self._before, after=self._behind, max_new_tokens=n_new)
            for clip, n_new in zip(clips, n_new_tokens, strict=True)
        ]
        return sum(len(made.token_ids) for made in self._generator.generate(requests))

    def spectra(self, clips: Clips) -> Any:
        return self._log_mel(clips)

    def hear(self, spectra: Any) -> None:
        self._encoder.encode(*spectra)


def make(
    name: str, size: Size, folder: Path, device: torch.device, dtype: torch.dtype, workloads: Sequence[Workload]
) -> Side:
    """Return the side of that name, for these workloads."""
    if name == "ours":
        return Ours(size, folder, device, dtype, workloads)
    side: type[Official | Native] = {"official": Official, "native": Native, "compiled": Compiled}[name]
    return side(size, folder, device, dtype)


def _context_tokens(workload: Workload) -> int:
    each = zip(workload.durations_s, workload.n_new_tokens, strict=True)
    return max(PROMPT_TOKENS + round(AUDIO_TOKENS_A_SECOND * duration_s) + n_new + 2 for duration_s, n_new in each)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
