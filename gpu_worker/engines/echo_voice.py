"""A voice engine without weights: it hums, as long as the text is. For tests and for measuring the pipe itself."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from asr_queue.domain.languages import NAMES
from gpu_worker.engine import Done, EngineSettings, Failed, Speech, VoiceInput, VoiceLimits
from gpu_worker.engines.voice_inputs import refusal

_LIMITS = VoiceLimits(
    max_micro_batch=16,
    max_chars=300,
    sample_rate_hz=24_000,
    min_sample_s=1.0,
    max_sample_s=30.0,
    speech_rate_hz=24_000,
    languages=frozenset(NAMES),
)
_S_PER_CHAR: Final = 1 / 15
"""As people read."""
_LOWEST_HZ: Final = 110


class EchoVoiceEngine:
    """Deterministic: the length of the hum follows from the text, its pitch from the voice."""

    def __init__(self, settings: EngineSettings, *, pass_s: float = 0.0, pass_per_audio_s: float = 0.0) -> None:
        """Take the settings that all engines take.

        Args:
            settings: nothing of it is needed here.
            pass_s: what each pass is made to last, in seconds, however little it holds.
            pass_per_audio_s: what is added for each second of speech in the pass.
        """
        del settings
        self._pass_s = pass_s
        self._pass_per_audio_s = pass_per_audio_s
        self._loaded = False

    @property
    def limits(self) -> VoiceLimits:
        """As those of small models, with every language."""
        return _LIMITS

    def load(self) -> None:
        """Allow `run`."""
        self._loaded = True

    def run(self, micro_batch: Sequence[VoiceInput]) -> list[Done[Speech] | Failed]:
        """Hum each text, after the pass time that was asked for."""
        if not self._loaded:
            raise RuntimeError("run before load")
        pass_s = self._pass_s + self._pass_per_audio_s * sum(len(one.text) * _S_PER_CHAR for one in micro_batch)
        if pass_s > 0:
            time.sleep(pass_s)
        return [_outcome(one) for one in micro_batch]

    def unload(self) -> None:
        """Forbid `run` until the next `load`."""
        self._loaded = False


def _outcome(one: VoiceInput) -> Done[Speech] | Failed:
    error = refusal(one, _LIMITS)
    if error is not None:
        return Failed(error)
    rate_hz = _LIMITS.speech_rate_hz
    time_s = np.arange(round(len(one.text) * _S_PER_CHAR * rate_hz)) / rate_hz
    pitch_hz = _LOWEST_HZ + int(one.voice.digest[:2], 16)
    return Done(Speech(samples=np.asarray(0.3 * np.sin(2 * np.pi * pitch_hz * time_s), dtype=np.float32)))
