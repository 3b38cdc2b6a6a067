"""The three ways from samples and words to word times."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.qwen3 import models, vocabulary
from benchmarks.qwen3.sizes import Size
from benchmarks.qwen3.workloads import SAMPLE_RATE_HZ

Clips = Sequence[NDArray[np.float32]]


class Official:
    """`Qwen3ForcedAligner.align` of the authors' package."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from benchmarks.qwen3.official import package

        official = package()
        from qwen_asr.core.transformers_backend import Qwen3ASRProcessor
        from qwen_asr.inference.qwen3_forced_aligner import Qwen3ForceAlignProcessor

        model = models.official(size, vocabulary.read_ids(folder), device, dtype)
        processor = Qwen3ASRProcessor.from_pretrained(folder)
        self._aligner = official.Qwen3ForcedAligner(model, processor, Qwen3ForceAlignProcessor())

    def align(self, clips: Clips) -> int:
        """Return how many words were placed."""
        audio = [(clip, SAMPLE_RATE_HZ) for clip in clips]
        return sum(map(len, self._aligner.align(audio, [vocabulary.WORDS] * len(clips), "English")))


class Native:
    """transformers' processor and forward pass."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import Qwen2Tokenizer, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

        self._model = models.aligner(size, vocabulary.read_ids(folder), device, dtype)
        self._processor = Qwen3ASRProcessor(
            Qwen3ASRFeatureExtractor(),
            Qwen2Tokenizer.from_pretrained(folder),
            chat_template=vocabulary.ALIGNER_TEMPLATE,
        )
        self._device, self._dtype = device, dtype

    @torch.no_grad()
    def align(self, clips: Clips) -> int:
        """Return how many words were placed."""
        inputs, words = self._processor.prepare_forced_aligner_inputs(
            list(clips), [vocabulary.WORDS] * len(clips), language="English"
        )
        inputs = inputs.to(self._device, self._dtype)
        logits = self._model(**inputs).logits
        aligned = self._processor.decode_forced_alignment(
            logits, inputs["input_ids"], words, self._model.config.timestamp_token_id
        )
        return sum(map(len, aligned))


class Ours:
    """`gpu_worker.engines.qwen3.aligning`."""

    def __init__(self, size: Size, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import Qwen2Tokenizer

        from gpu_worker.engines.qwen3.aligning import Aligning

        model = models.aligner(size, vocabulary.read_ids(folder), device, dtype)
        self._aligning = Aligning(model, Qwen2Tokenizer.from_pretrained(folder))

    def align(self, clips: Clips) -> int:
        """Return how many words were placed."""
        from gpu_worker.engines.qwen3.aligning import Spoken

        spoken = [Spoken(samples=clip, tokens=vocabulary.WORDS.split()) for clip in clips]
        return sum(len(times) // 2 for times in self._aligning.times_ms(spoken))


SIDES: dict[str, Any] = {"official": Official, "native": Native, "ours": Ours}
