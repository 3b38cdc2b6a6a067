"""Pocket TTS as an engine: 100 million parameters that speak in the voice of a sample, fast enough on a processor.

inputs ─▶ refused? ─▶ voices, heard once each ─▶ Speaker: one batch ─▶ speech
          (processor)      (device)                (device)
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jinja2 import TemplateError

from asr_queue.errors import CallerError, EngineBrokenError, EngineLoadError, EngineNoRoomError, EngineOutOfMemoryError
from gpu_worker.engine import Done, EngineSettings, Failed, Speech, Voice, VoiceInput, VoiceLimits
from gpu_worker.engines.pocket.speaking import Line, Speaker
from gpu_worker.engines.pocket.voices import HeardVoices
from gpu_worker.engines.pocket.weights import Checkpoint, load
from gpu_worker.engines.pytorch.devices import give_memory_back, is_out_of_memory, placement
from gpu_worker.engines.pytorch.layout import lay_out
from gpu_worker.engines.pytorch.residence import Residence
from gpu_worker.engines.voice_inputs import refusal

_logger = logging.getLogger(__name__)

DEFAULT_MODEL: Final = "eustlb/pocket-tts"
"""What transformers' own documentation of the model names."""
DEFAULT_LANGUAGES: Final = frozenset({"en"})
"""Of that one."""
LANGUAGES: Final = frozenset({"de", "en", "es", "fr", "it", "pt"})
"""Those that Kyutai has published a checkpoint for, one each; no checkpoint says which one is its own."""
_RATE_HZ: Final = 24_000
_MOST_AT_ONCE: Final = 32
_KEPT_BYTES: Final = 64 << 20
"""Of voices: 1,300 of 30 s."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is loaded."""

    checkpoint: Checkpoint
    speaker: Speaker
    voices: HeardVoices


class PocketTtsEngine:
    """Pocket TTS on a processor or a GPU.

    A text in a voice is said the same way each time: its noise follows from both (`pocket/noise.py`), and what else is
    in the pass changes no more than rounding does.
    """

    def __init__(self, settings: EngineSettings) -> None:
        """Take the settings that all engines take; `aligner`, `memory_bytes` and `python` do not count here."""
        self._settings = settings
        self._limits = VoiceLimits(
            max_micro_batch=min(settings.micro_batch, _MOST_AT_ONCE),
            # About the 50 tokens that its authors say at once.
            max_chars=200,
            sample_rate_hz=_RATE_HZ,
            # As for the other engine, so that a voice that one takes the other takes.
            min_sample_s=3.0,
            max_sample_s=30.0,
            speech_rate_hz=_RATE_HZ,
            languages=DEFAULT_LANGUAGES if settings.model is None else LANGUAGES,
        )
        self._parts: _Parts | None = None
        self._residence = Residence()

    @property
    def limits(self) -> VoiceLimits:
        """Pieces of 200 characters in voices of 3 to 30 s."""
        return self._limits

    def load(self) -> None:
        """Put the weights on the device and warm up; weights may be downloaded. From where it is parked, one copy.

        Raises:
            EngineNoRoomError: the device has too little memory for the model now; a parked one is still parked.
            EngineLoadError: weights are missing, damaged or of another kind.
        """
        if self._residence.is_parked:
            reason = self._residence.come_back()
        else:
            reason = self._come() if self._parts is None else None
        if reason is not None:
            # Not inside a handler: until its end the error's frames hold what they had on the device.
            give_memory_back()
            raise EngineNoRoomError(f"The device has too little memory for the model: {reason}")

    def run(self, micro_batch: Sequence[VoiceInput]) -> list[Done[Speech] | Failed]:
        """Say each text in its voice; texts of all lengths and voices share the steps of one batch."""
        parts = self._running()
        plain = [replace(one, text=parts.speaker.plain(one.text)) for one in micro_batch]
        errors = {i: error for i, one in enumerate(plain) if (error := self._refusal(micro_batch[i], one))}
        sound = [(i, one) for i, one in enumerate(plain) if i not in errors]
        said = dict(zip((i for i, _ in sound), _say(parts, [one for _, one in sound]), strict=True)) if sound else {}
        return [Failed(errors[i]) if i in errors else Done(said[i]) for i in range(len(micro_batch))]

    @property
    def device_bytes(self) -> int:
        """Of the model's weights and the codec's; what a pass takes besides comes and goes with it."""
        if self._parts is None or self._residence.is_parked:
            return 0
        return self._residence.n_bytes or lay_out(self._parts.checkpoint.tensors(), 0).end

    def park(self) -> None:
        """Leave the device; the voices heard stay known. With no room on the host for a copy, this is `unload`."""
        if self._parts is None or self._residence.is_parked:
            return
        reason = self._residence.leave(self._parts.checkpoint.tensors())
        if reason is not None:
            _logger.warning("pocket_tts_not_parked", extra={"why": reason})
            self.unload()

    def unload(self) -> None:
        """Drop the model and the voices, and give their memory back."""
        if self._parts is not None:
            self._parts = None
            self._residence.end()
            give_memory_back()

    def _running(self) -> _Parts:
        if self._parts is None or self._residence.is_parked:
            raise RuntimeError("run before load")
        return self._parts

    def _refusal(self, asked: VoiceInput, plain: VoiceInput) -> CallerError | None:
        """Say what is wrong with what was asked, or with what is left of it."""
        return refusal(asked, self._limits) or refusal(plain, self._limits)

    def _come(self) -> str | None:
        """Load from the checkpoint; return what was too large, where something was."""
        try:
            parts = self._load()
            samples = np.random.default_rng(0).normal(0, 0.1, 3 * _RATE_HZ).astype(np.float32)
            # The voice is forgotten: nobody has it.
            _say(
                replace(parts, voices=HeardVoices(0)),
                [VoiceInput(text="One.", voice=Voice(digest="", samples=samples), language=None)],
            )
        except (TemplateError, ValueError) as error:
            raise EngineLoadError(f"The checkpoint's parts do not make it speak: {error}") from error
        except (MemoryError, RuntimeError, EngineOutOfMemoryError) as error:
            if not isinstance(error, EngineOutOfMemoryError) and not is_out_of_memory(error):
                raise
            return str(error)
        self._parts = parts
        return None

    def _load(self) -> _Parts:
        settings = self._settings
        device, dtype = placement(settings)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        source = settings.model or DEFAULT_MODEL
        checkpoint = load(source, cache_dir=settings.cache_dir, device=device, dtype=dtype)
        speaker = Speaker(checkpoint)
        if speaker.rate_hz != _RATE_HZ:
            raise EngineLoadError(f"The codec of {source} has a rate of {speaker.rate_hz} Hz, not {_RATE_HZ}.")
        _logger.info("pocket_tts_loaded", extra={"device": str(device), "model": source})
        return _Parts(checkpoint, speaker, HeardVoices(_KEPT_BYTES))


def _say(parts: _Parts, inputs: Sequence[VoiceInput]) -> list[Speech]:
    try:
        return parts.speaker.say([_line(parts, one) for one in inputs])
    except torch.AcceleratorError as error:
        # After an illegal address, a failed assertion or a lost device every further call fails as well.
        raise EngineBrokenError(f"The device failed: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Not inside the handler: until its end the error's frames hold what they had on the device.
    give_memory_back()
    raise EngineOutOfMemoryError(f"No memory for these {len(inputs)} inputs at once.")


def _line(parts: _Parts, one: VoiceInput) -> Line:
    latents = parts.voices.get(one.voice.digest)
    if latents is None:
        latents = parts.speaker.hear(one.voice.samples)
        parts.voices.put(one.voice.digest, latents)
    return Line(one.text, one.voice.digest, latents)
