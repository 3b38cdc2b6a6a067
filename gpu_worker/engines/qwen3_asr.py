"""Qwen3-ASR as an engine: speech is told from silence, recognised, and aligned where word times are wanted.

inputs ─▶ anybody there? ─▶ Generator: ids ─▶ text, language, remarks ─▶ Qwen3Aligner ─▶ recognitions
          (processor)       (device)                                     (device)
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from asr_queue.errors import EngineBrokenError, EngineLoadError, EngineNoRoomError, EngineOutOfMemoryError
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
from gpu_worker.engines.inputs import refusal
from gpu_worker.engines.pytorch.checkpoints import locate
from gpu_worker.engines.pytorch.devices import free_bytes, give_memory_back, is_out_of_memory, placement
from gpu_worker.engines.pytorch.layout import lay_out
from gpu_worker.engines.pytorch.residence import Residence
from gpu_worker.engines.qwen3.generation import Generator
from gpu_worker.engines.qwen3.mel import SAMPLE_RATE_HZ
from gpu_worker.engines.qwen3.memory import LONGEST_S, LONGEST_WITH_WORDS_S, most_new_tokens, room
from gpu_worker.engines.qwen3.parsing import parse
from gpu_worker.engines.qwen3.prompts import LANGUAGES, Prompts
from gpu_worker.engines.qwen3.requests import Request
from gpu_worker.engines.qwen3.weights import load_asr, load_tokenizer
from gpu_worker.engines.qwen3.words import with_words
from gpu_worker.engines.qwen3_aligner import Qwen3Aligner
from gpu_worker.engines.speech import SpeechFinder

_logger = logging.getLogger(__name__)

DEFAULT_MODEL: Final = "Qwen/Qwen3-ASR-0.6B-hf"
_MOST_AT_ONCE: Final = 256
"""Beyond, a step takes as much longer as there are more rows."""
_LISTENERS: Final = 4
_CHECKED_S: Final = (1, 2, 3, 5, 8, 13)
"""Of unlike lengths, so that the rows do not end together."""
_CHECKED_TOKENS: Final = 32


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is loaded."""

    generator: Generator
    tokenizer: Any
    prompts: Prompts
    aligner: Qwen3Aligner | None
    finder: SpeechFinder
    listeners: ThreadPoolExecutor


class Qwen3AsrEngine:
    """Qwen3-ASR on a GPU, or slowly on a processor."""

    def __init__(self, settings: EngineSettings) -> None:
        """Take the settings that all engines take; every one of them counts here."""
        self._settings = settings
        self._limits = Limits(
            max_micro_batch=min(settings.micro_batch, _MOST_AT_ONCE),
            max_chunk_s=LONGEST_S,
            max_chunk_with_words_s=LONGEST_WITH_WORDS_S,
            sample_rate_hz=SAMPLE_RATE_HZ,
            languages=LANGUAGES,
        )
        self._parts: _Parts | None = None
        self._residence = Residence()

    @property
    def limits(self) -> Limits:
        """20 minutes, or 5 with word times; less where the device has no room for that, which `load` finds out."""
        return self._limits

    def load(self) -> None:
        """Put the weights on the device, take the memory that a pass needs, and warm up; weights may be downloaded.

        From where it is parked, one copy brings it back; the first time, the steps are captured anew, at the addresses
        where it will be from then on.

        Raises:
            EngineNoRoomError: the device has too little memory for the model now; a parked one is still parked.
            EngineLoadError: weights are missing, damaged or of another kind.
        """
        reason = self._come_back() if self._residence.is_parked else self._come() if self._parts is None else None
        if reason is not None:
            # Not inside a handler: until its end the error's frames hold what they had on the device.
            give_memory_back()
            raise EngineNoRoomError(f"The device has too little memory for the model: {reason}")

    def has_speech(self, samples: Samples) -> bool:
        """Whether anybody speaks; a few milliseconds of one core where somebody does. Also while it is parked."""
        if self._parts is None:
            raise RuntimeError("has_speech before load")
        return self._parts.finder.hears(samples)

    def run(self, micro_batch: Sequence[SpeechInput]) -> list[Done[Recognition] | Failed]:
        """Recognise what is said in each clip; what holds no speech never reaches the model, and has an empty text."""
        parts = self._running()
        errors = {i: error for i, one in enumerate(micro_batch) if (error := refusal(one, self._limits))}
        sound = [(i, one) for i, one in enumerate(micro_batch) if i not in errors]
        recognised = {
            i: Recognition(text="", language=one.language, words=() if one.want_words else None) for i, one in sound
        }
        if spoken := _with_speech(parts, sound):
            recognised |= zip((i for i, _ in spoken), _recognise(parts, [one for _, one in spoken]), strict=True)
        return [Failed(errors[i]) if i in errors else Done(recognised[i]) for i in range(len(micro_batch))]

    def self_check(self) -> list[str]:
        """Compare the captured steps with the same ones launched kernel by kernel; on a processor there are none."""
        parts = self._running()
        noise = _noise(max(_CHECKED_S))
        inputs = [
            SpeechInput(samples=noise[: seconds * SAMPLE_RATE_HZ], language="en", want_words=False)
            for seconds in _CHECKED_S
        ]
        requests = [replace(request, max_new_tokens=_CHECKED_TOKENS) for request in _requests(parts, inputs)]
        captured = parts.generator.generate(requests)
        with parts.generator.without_graphs():
            launched = parts.generator.generate(requests)
        differing = sum(one != other for one, other in zip(captured, launched, strict=True))
        if not differing:
            return []
        return [f"{differing} of {len(inputs)} texts differ between captured and launched steps."]

    @property
    def device_bytes(self) -> int:
        """Of both models' weights and the cache; captured steps have a few hundred MiB more at most."""
        if self._parts is None or self._residence.is_parked:
            return 0
        return self._residence.n_bytes or lay_out([*_weights(self._parts), *self._parts.generator.scratch()], 0).end

    def park(self) -> None:
        """Leave the device, the cache too. What stays on it are captured steps, once they are where they can stay.

        Where the host has no room for a copy of the weights, this is `unload`.
        """
        if self._parts is None or self._residence.is_parked:
            return
        if self._residence.n_bytes is None:
            # They hold the addresses of before the arena.
            self._parts.generator.forget_steps()
        reason = self._residence.leave(_weights(self._parts), self._parts.generator.scratch())
        if reason is not None:
            _logger.warning("qwen3_asr_not_parked", extra={"why": reason})
            self.unload()

    def unload(self) -> None:
        """Drop the models and give their memory back."""
        if self._parts is not None:
            self._parts.listeners.shutdown()
            if self._parts.aligner is not None:
                self._parts.aligner.unload()
            self._parts = None
            self._residence.end()
            give_memory_back()

    def _running(self) -> _Parts:
        if self._parts is None or self._residence.is_parked:
            raise RuntimeError("run before load")
        return self._parts

    def _come(self) -> str | None:
        """Load from the checkpoint; return what was too large, where something was."""
        try:
            self._parts = self._load()
            self.run([SpeechInput(samples=_noise(1), language="en", want_words=True, has_speech=True)])
        except (MemoryError, RuntimeError, EngineOutOfMemoryError) as error:
            if not isinstance(error, EngineOutOfMemoryError) and not is_out_of_memory(error):
                raise
            self.unload()
            return str(error)
        return None

    def _come_back(self) -> str | None:
        """The same, from where it is parked."""
        assert self._parts is not None
        reason = self._residence.come_back(self._parts.generator.capture)
        if reason is not None:
            self._parts.generator.forget_steps()
        return reason

    def _load(self) -> _Parts:
        settings = self._settings
        device, dtype = placement(settings)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        folder = locate(settings.model or DEFAULT_MODEL, cache_dir=settings.cache_dir)
        tokenizer = load_tokenizer(folder)
        model = load_asr(folder, device=device, dtype=dtype)
        aligner = None
        if settings.aligner != NO_ALIGNER:
            aligner = Qwen3Aligner(settings)
            aligner.load()
        max_rows = self._limits.max_micro_batch
        prompts = Prompts(tokenizer)
        space = room(
            model.config,
            max_rows=max_rows,
            prompt_tokens=prompts.most_tokens,
            free_bytes=free_bytes(device, allowed_bytes=settings.memory_bytes),
            device_type=device.type,
            dtype=dtype,
        )
        try:
            generator = Generator(
                model,
                max_rows=max_rows,
                max_context_tokens=space.max_context_tokens,
                cache_tokens=space.cache_tokens,
            )
        except ValueError as error:
            raise EngineLoadError(f"The checkpoint in {folder} cannot be computed here: {error}") from error
        self._limits = replace(
            self._limits,
            max_chunk_s=space.longest_s,
            max_chunk_with_words_s=min(LONGEST_WITH_WORDS_S, space.longest_s),
        )
        _logger.info(
            "qwen3_asr_loaded",
            extra={"device": str(device), "cache_tokens": space.cache_tokens, "longest_s": space.longest_s},
        )
        cores = settings.threads or len(os.sched_getaffinity(0))
        listeners = ThreadPoolExecutor(min(cores, _LISTENERS), thread_name_prefix="listen")
        return _Parts(generator, tokenizer, prompts, aligner, SpeechFinder(), listeners)


def _weights(parts: _Parts) -> Iterator[Tensor]:
    yield from parts.generator.weights()
    if parts.aligner is not None:
        yield from parts.aligner.weights()


def _noise(seconds: int) -> Samples:
    noise = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE_HZ)
    return np.asarray(noise, dtype=np.float32)


def _with_speech(parts: _Parts, sound: Sequence[tuple[int, SpeechInput]]) -> list[tuple[int, SpeechInput]]:
    """Return the inputs in which somebody speaks."""
    unheard = [one.samples for _, one in sound if one.has_speech is None]
    heard = parts.listeners.map(parts.finder.hears, unheard)
    return [(i, one) for i, one in sound if (next(heard) if one.has_speech is None else one.has_speech)]


def _requests(parts: _Parts, inputs: Sequence[SpeechInput]) -> list[Request]:
    return [
        Request(
            samples=one.samples,
            before=parts.prompts.before(one.prompt),
            after=parts.prompts.behind(one.language),
            max_new_tokens=most_new_tokens(one.samples.size / SAMPLE_RATE_HZ),
        )
        for one in inputs
    ]


def _recognise(parts: _Parts, inputs: Sequence[SpeechInput]) -> list[Recognition]:
    try:
        generated = parts.generator.generate(_requests(parts, inputs))
    except torch.AcceleratorError as error:
        # After an illegal address, a failed assertion or a lost device every further call fails as well.
        raise EngineBrokenError(f"The device failed: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        generated = None
    if generated is None:
        # Not inside the handler: until its end the error's frames hold what they had on the device.
        give_memory_back()
        raise EngineOutOfMemoryError(f"No memory for these {len(inputs)} inputs at once.")
    outputs = parts.tokenizer.batch_decode([one.token_ids for one in generated], skip_special_tokens=True)
    recognised = []
    for wanted, output, one in zip(inputs, outputs, generated, strict=True):
        parsed = parse(output)
        recognised.append(
            Recognition(
                text=parsed.text,
                language=wanted.language or (parsed.language if parsed.text else None),
                words=() if wanted.want_words else None,
                is_truncated=one.is_truncated,
                is_repetitive=parsed.is_repetitive,
            )
        )
    return with_words(parts.aligner, inputs, recognised)
