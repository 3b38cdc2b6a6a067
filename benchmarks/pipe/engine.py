"""The Qwen3-ASR engine with random weights, watched while it works."""

import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.pipe.timeline import Timeline, Trace, nvml, replaced, timed
from benchmarks.qwen3 import models, vocabulary
from benchmarks.qwen3.sizes import SIZES
from gpu_worker.engine import (
    NO_ALIGNER,
    Done,
    EngineSettings,
    Failed,
    Limits,
    Recognition,
    Samples,
    SpeechInput,
)

_TOKENS_A_SECOND = 2.7


class Watched:
    """An engine; notes when its passes begin and end."""

    def __init__(self, engine: Any, device: torch.device) -> None:
        self._engine = engine
        self._timeline = Timeline(device)
        self._trace = Trace(self._timeline)
        self.n_inputs = 0
        self.audio_s = 0.0

    @property
    def limits(self) -> Limits:
        """Those of the engine."""
        limits: Limits = self._engine.limits
        return limits

    def load(self) -> None:
        """Load the engine."""
        self._engine.load()

    def has_speech(self, samples: Samples) -> bool | None:
        """Ask the engine."""
        heard: bool | None = self._engine.has_speech(samples)
        return heard

    def run(self, micro_batch: Sequence[SpeechInput]) -> Sequence[Done[Recognition] | Failed]:
        """Run the engine, and note it."""
        n_pass = len(self._timeline.passes)
        self._trace.before(n_pass)
        begin_s = time.perf_counter()
        # From here on the stages count; the end is set below.
        self._timeline.passes.append((begin_s, begin_s))
        outcomes: Sequence[Done[Recognition] | Failed] = self._engine.run(micro_batch)
        self._timeline.passes[n_pass] = (begin_s, time.perf_counter())
        self._trace.after(n_pass)
        self.n_inputs += len(micro_batch)
        self.audio_s += sum(one.samples.size for one in micro_batch) / self.limits.sample_rate_hz
        return outcomes

    def unload(self) -> None:
        """Unload the engine."""
        self._engine.unload()

    @contextmanager
    def watching(self) -> Iterator[Timeline]:
        """Have the engine's stages timed while the block runs; the timeline is complete behind it."""
        from gpu_worker.engines import qwen3_asr
        from gpu_worker.engines.qwen3 import mel
        from gpu_worker.engines.qwen3.generation import Generator

        line = self._timeline
        with ExitStack() as stack:
            # No text of random weights ends by itself. The engine takes such a one for cut off, which costs nothing.
            stack.enter_context(replaced(qwen3_asr, "most_new_tokens", _as_long_as_speech))
            stack.enter_context(timed(Generator, "generate", "model", line))
            stack.enter_context(timed(mel._Staging, "fill", "staging of samples", line, inside="model"))
            stack.enter_context(timed(qwen3_asr, "_with_speech", "listening", line))
            stack.enter_context(timed(qwen3_asr, "parse", "parsing", line))
            stack.enter_context(nvml(line))
            yield line
        self._trace.read()


def random_engine(size: str, folder: Path, *, micro_batch: int) -> Watched:
    """Return the engine over a random checkpoint, not yet loaded; on the GPU, but a tiny one on the processor."""
    _do_without_ctranslate2()
    from gpu_worker.engines import qwen3_asr

    device = torch.device("cpu" if size == "tiny" else "cuda")
    dtype = torch.float32 if size == "tiny" else torch.bfloat16
    ids = vocabulary.write(folder)
    models.recogniser(SIZES[size], ids, device, dtype).save_pretrained(folder)
    # No text of random weights ends by itself. The engine takes such a one for cut off, which costs nothing.
    qwen3_asr.most_new_tokens = lambda audio_s: max(1, round(_TOKENS_A_SECOND * audio_s))
    settings = EngineSettings(
        cache_dir=folder,
        model=str(folder),
        aligner=NO_ALIGNER,
        device=device.type,
        micro_batch=micro_batch,
        threads=None,
    )
    return Watched(qwen3_asr.Qwen3AsrEngine(settings), device)


def _as_long_as_speech(audio_s: float) -> int:
    return max(1, round(_TOKENS_A_SECOND * audio_s))


class _Anything(ModuleType):
    """Has every attribute, so that what is never called can be mentioned."""

    def __getattr__(self, name: str) -> "_Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name)

    def __call__(self) -> None:
        """Be good enough for a type in an annotation."""


def _do_without_ctranslate2() -> None:
    """Let faster-whisper be imported, whose voice activity detection is all that is needed of it."""
    if importlib.util.find_spec("ctranslate2") is None:
        sys.modules["ctranslate2"] = _Anything("ctranslate2")
