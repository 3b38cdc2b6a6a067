"""An engine without weights: it says how much it heard. For tests and for measuring the pipe itself."""

import time
from collections.abc import Sequence

from asr_queue.domain.languages import NAMES
from asr_queue.domain.transcript import Word
from gpu_worker.engine import Done, EngineSettings, Failed, Limits, Recognition, Samples, SpeechInput
from gpu_worker.engines.inputs import refusal

_LIMITS = Limits(max_micro_batch=16, max_chunk_s=30.0, sample_rate_hz=16_000, languages=frozenset(NAMES))


class EchoEngine:
    """Deterministic: the text names the input's length and its prompt, zeros are silence, a missing hint is English.

    It is quite sure of all that: every word has a confidence of 1, and so has English.
    """

    def __init__(self, settings: EngineSettings, *, pass_s: float = 0.0, pass_per_audio_s: float = 0.0) -> None:
        """Take the settings that all engines take.

        Args:
            settings: nothing of it is needed here.
            pass_s: what each pass is made to last, in seconds, however little it holds.
            pass_per_audio_s: what is added for each second of audio in the pass.
        """
        del settings
        self._pass_s = pass_s
        self._pass_per_audio_s = pass_per_audio_s
        self._loaded = False

    @property
    def limits(self) -> Limits:
        """The same as those of Whisper, with every language."""
        return _LIMITS

    def load(self) -> None:
        """Allow `run`."""
        self._loaded = True

    def run(self, micro_batch: Sequence[SpeechInput]) -> list[Done[Recognition] | Failed]:
        """Say for each input how long it is, after the pass time that was asked for."""
        if not self._loaded:
            raise RuntimeError("run before load")
        audio_s = sum(one.samples.size for one in micro_batch) / _LIMITS.sample_rate_hz
        pass_s = self._pass_s + self._pass_per_audio_s * audio_s
        if pass_s > 0:
            time.sleep(pass_s)
        return [_outcome(one) for one in micro_batch]

    def has_speech(self, samples: Samples) -> None:
        """Leave it to `run`."""

    def unload(self) -> None:
        """Forbid `run` until the next `load`."""
        self._loaded = False


def _outcome(one: SpeechInput) -> Done[Recognition] | Failed:
    error = refusal(one, _LIMITS)
    if error is not None:
        return Failed(error)
    if not one.samples.any():
        return Done(Recognition(text="", language=one.language, words=() if one.want_words else None))
    audio_s = one.samples.size / _LIMITS.sample_rate_hz
    text = " ".join(f"echo of {audio_s:.2f} s {one.prompt}".split())
    words = _spread(text.split(), audio_s) if one.want_words else None
    probability = 1.0 if one.language is None else None
    return Done(Recognition(text=text, language=one.language or "en", language_probability=probability, words=words))


def _spread(texts: list[str], audio_s: float) -> tuple[Word, ...]:
    step_s = audio_s / len(texts)
    return tuple(Word(step_s * i, min(step_s * (i + 1), audio_s), text, 1.0) for i, text in enumerate(texts))
