"""Whisper on the processor: faster-whisper's models, run over all clips of a micro-batch at once."""

import ctypes
import gc
import os
from collections.abc import Sequence
from typing import Final

from asr_queue.errors import EngineLoadError, EngineOutOfMemoryError
from gpu_worker.engine import Done, EngineSettings, Failed, Limits, Recognition, Samples, SpeechInput
from gpu_worker.engines.inputs import refusal
from gpu_worker.engines.speech import SAMPLE_RATE_HZ
from gpu_worker.engines.whisper_recogniser import Recogniser
from gpu_worker.engines.whisper_weights import embedded_folder, languages_of

BEAM_SIZE: Final = 5
"""Whisper's own default."""
_MOST_WORKERS: Final = 4
"""Workers share the weights, but each needs room of its own for what it computes."""


class WhisperCpuEngine:
    """Whisper base in 8-bit integers, or any other faster-whisper model, on every core that it is given."""

    def __init__(self, settings: EngineSettings, *, beam_size: int = BEAM_SIZE) -> None:
        """Take the settings that all engines take, and how many hypotheses the decoder keeps."""
        self._settings = settings
        self._beam_size = beam_size
        self._limits = Limits(
            max_micro_batch=16,
            max_chunk_s=30.0,
            sample_rate_hz=SAMPLE_RATE_HZ,
            languages=languages_of(settings.model),
        )
        self._recogniser: Recogniser | None = None

    @property
    def limits(self) -> Limits:
        """Whisper's window of 30 s, 16 chunks at once, and the languages of the model."""
        return self._limits

    def load(self) -> None:
        """Check the weights, put them into memory, and warm up; another model than the embedded may be downloaded.

        Raises:
            EngineLoadError: the weights are missing, damaged or of another kind.
        """
        if self._recogniser is None:
            threads = self._settings.threads or len(os.sched_getaffinity(0))
            self._recogniser = _load(self._settings, threads, self._beam_size)

    def run(self, micro_batch: Sequence[SpeechInput]) -> list[Done[Recognition] | Failed]:
        """Recognise what is said in each clip; what holds no speech has an empty text."""
        if self._recogniser is None:
            raise RuntimeError("run before load")
        errors = {i: error for i, one in enumerate(micro_batch) if (error := refusal(one, self._limits))}
        sound = [(i, one) for i, one in enumerate(micro_batch) if i not in errors]
        try:
            recognised = self._recogniser.recognise(sound)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or _is_out_of_memory(error):
                raise EngineOutOfMemoryError(f"No memory for these {len(micro_batch)} inputs at once.") from error
            raise
        return [Failed(errors[i]) if i in errors else Done(recognised[i]) for i in range(len(micro_batch))]

    def has_speech(self, samples: Samples) -> None:
        """Leave it to `run`, which has to know where the speech is."""

    def unload(self) -> None:
        """Drop the model and hand freed memory back to the system."""
        if self._recogniser is not None:
            self._recogniser.close()
            self._recogniser = None
            gc.collect()
            _return_freed_memory()


def _load(settings: EngineSettings, threads: int, beam_size: int) -> Recogniser:
    from faster_whisper import WhisperModel

    # One thread a worker beats one worker with all threads: nothing waits for the slowest thread of each layer.
    workers = min(threads, _MOST_WORKERS)
    name = settings.model or str(embedded_folder(settings.cache_dir))
    try:
        model = WhisperModel(
            name,
            device="cpu",
            compute_type="int8",
            cpu_threads=max(1, threads // workers),
            num_workers=workers,
            download_root=str(settings.cache_dir),
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineLoadError(f"Whisper model {name!r} cannot be loaded: {error}") from error
    return Recogniser(model, workers=workers, beam_size=beam_size)


def _is_out_of_memory(error: Exception) -> bool:
    # CTranslate2 raises a bare RuntimeError here, and ONNX Runtime no better; only its text tells what happened.
    return "alloc" in str(error).lower() or "out of memory" in str(error).lower()


def _return_freed_memory() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        # Only glibc has it.
        return
