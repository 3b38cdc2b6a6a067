"""Qwen3-TTS as an engine: its authors' package, in a process of its own, since it cannot live beside transformers 5."""

import os
from pathlib import Path
from typing import Final

from gpu_worker.engine import EngineSettings, VoiceLimits
from gpu_worker.engines import qwen3_tts_child
from gpu_worker.engines.isolated import IsolatedVoiceEngine

DEFAULT_MODEL: Final = "Qwen/Qwen3-TTS-12Hz-0.6B-Base"
"""Of the published ones, those named Base take a voice; the others have voices of their own."""
_MOST_AT_ONCE: Final = 32
_RATE_HZ: Final = 24_000


class Qwen3TtsEngine(IsolatedVoiceEngine):
    """Qwen3-TTS on a GPU, or slowly on a processor."""

    def __init__(self, settings: EngineSettings) -> None:
        """Take the settings that all engines take; `aligner` does not count here."""
        super().__init__(
            settings,
            program=Path(qwen3_tts_child.__file__),
            limits=VoiceLimits(
                max_micro_batch=min(settings.micro_batch, _MOST_AT_ONCE),
                max_chars=300,
                sample_rate_hz=_RATE_HZ,
                # What its authors ask for.
                min_sample_s=3.0,
                max_sample_s=30.0,
                speech_rate_hz=_RATE_HZ,
                languages=frozenset(qwen3_tts_child.LANGUAGES),
            ),
            options={
                "model": settings.model or DEFAULT_MODEL,
                "cache_dir": str(settings.cache_dir),
                "device": settings.device,
                "dtype": settings.dtype,
                "memory_bytes": settings.memory_bytes,
                "threads": settings.threads or len(os.sched_getaffinity(0)),
            },
        )
