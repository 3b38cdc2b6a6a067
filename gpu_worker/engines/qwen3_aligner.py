"""Qwen3's forced aligner as an engine: when each word of a known text was said."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import torch
from torch import Tensor
from transformers import Qwen3ASRProcessor

from asr_queue.domain.languages import NAMES
from asr_queue.domain.transcript import Word
from asr_queue.errors import CallerError, EngineLoadError
from gpu_worker.engine import Done, EngineSettings, Failed, Limits, Samples
from gpu_worker.engines.pytorch.checkpoints import locate as locate_checkpoint
from gpu_worker.engines.pytorch.devices import give_memory_back, placement
from gpu_worker.engines.qwen3.aligning import Aligning, Spoken
from gpu_worker.engines.qwen3.alignment import LANGUAGES, Span, locate, words_of
from gpu_worker.engines.qwen3.mel import SAMPLE_RATE_HZ
from gpu_worker.engines.qwen3.weights import load_aligner, load_tokenizer

_logger = logging.getLogger(__name__)

DEFAULT_MODEL: Final = "Qwen/Qwen3-ForcedAligner-0.6B-hf"
MAX_CLIP_S: Final = 300.0
"""Of the model (arXiv 2601.21337)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentInput:
    """A clip and what is said in it."""

    samples: Samples = field(repr=False)
    """At least one sample, at most 300 s."""
    text: str
    """Not empty; stripped, with single spaces."""
    language: str | None
    """Code; None where nobody knows."""


Alignment = Done[tuple[Word, ...]] | Failed
"""All words of a text in order, with their punctuation, seconds from the start of the clip; or why there are none."""


@dataclass(frozen=True, slots=True)
class _Task:
    """An input that can be aligned."""

    wanted: AlignmentInput
    tokens: list[str]
    """At least one."""
    spans: list[Span]
    """Where they are in the text."""


class Qwen3Aligner:
    """`load -> run* -> unload`, from one thread."""

    def __init__(self, settings: EngineSettings) -> None:
        """Take the settings that all engines take; `aligner` names the weights."""
        self._settings = settings
        self._aligning: Aligning | None = None

    @property
    def limits(self) -> Limits:
        """Clips of up to 300 s in 11 languages, as many as its neighbour recognises at once."""
        return Limits(
            max_micro_batch=self._settings.micro_batch,
            max_chunk_s=MAX_CLIP_S,
            sample_rate_hz=SAMPLE_RATE_HZ,
            languages=LANGUAGES,
        )

    def load(self) -> None:
        """Put the weights on the device.

        Raises:
            EngineLoadError: they are missing, damaged or of another kind.
        """
        if self._aligning is None:
            device, dtype = placement(self._settings)
            folder = locate_checkpoint(self._settings.aligner or DEFAULT_MODEL, cache_dir=self._settings.cache_dir)
            tokenizer = load_tokenizer(folder)
            try:
                self._aligning = Aligning(load_aligner(folder, device=device, dtype=dtype), tokenizer)
            except ValueError as error:
                raise EngineLoadError(f"The checkpoint in {folder} cannot be computed here: {error}") from error

    def run(self, micro_batch: Sequence[AlignmentInput]) -> list[Alignment]:
        """Return the words of each text and when they were said.

        An input fails alone, with the code `timestamps_unavailable`: in a language that the model does not know, where
        a package for Japanese or Korean is missing, or where the device has no room even for it alone.
        """
        if self._aligning is None:
            raise RuntimeError("run before load")
        prepared = [_prepare(one) for one in micro_batch]
        tasks = [one for one in prepared if isinstance(one, _Task)]
        aligned = iter(_align(self._aligning, tasks))
        return [next(aligned) if isinstance(one, _Task) else one for one in prepared]

    def weights(self) -> Iterator[Tensor]:
        """Return every tensor that it computes with, none of which it writes to; none where it is not loaded."""
        if self._aligning is not None:
            yield from self._aligning.weights()

    def unload(self) -> None:
        """Drop the model and give its memory back."""
        if self._aligning is not None:
            self._aligning = None
            give_memory_back()


def _prepare(one: AlignmentInput) -> _Task | Alignment:
    if one.language is None:
        return _unavailable("The language of the text is not known, and word times need it.")
    name = NAMES[one.language]
    if one.language not in LANGUAGES:
        known = ", ".join(sorted(NAMES[code] for code in LANGUAGES))
        return _unavailable(f"There are no word times in {name}; the aligner knows {known}.")
    try:
        # It needs nothing of a processor.
        tokens = Qwen3ASRProcessor.split_words_for_alignment(cast(Any, None), one.text, name)
    except ImportError as error:
        return _unavailable(f"Word times in {name} need a package that this worker does not have: {error}.")
    spans = locate(tokens, one.text)
    if spans is None:
        return _unavailable(f"The {name} text could not be split into words.")
    if not tokens:
        end_s = one.samples.size / SAMPLE_RATE_HZ
        return Done(tuple(Word(0.0, end_s, mark) for mark in one.text.split()))
    return _Task(one, tokens, spans)


def _align(aligning: Aligning, tasks: Sequence[_Task]) -> list[Alignment]:
    """Align what fits at once; what does not is halved, down to a clip that does not fit alone."""
    if not tasks:
        return []
    try:
        times_ms = aligning.times_ms([Spoken(samples=task.wanted.samples, tokens=task.tokens) for task in tasks])
        return [Done(_words(task, times)) for task, times in zip(tasks, times_ms, strict=True)]
    except torch.OutOfMemoryError:
        _logger.warning("aligner_out_of_memory", extra={"clips": len(tasks)})
    # Not inside the handler: until its end the error's frames hold what they had on the device.
    give_memory_back()
    if len(tasks) == 1:
        return [_unavailable("The device ran out of memory over the word times of this clip.")]
    middle = len(tasks) // 2
    return _align(aligning, tasks[:middle]) + _align(aligning, tasks[middle:])


def _words(task: _Task, times_ms: Sequence[int]) -> tuple[Word, ...]:
    one = task.wanted
    end_s = one.samples.size / SAMPLE_RATE_HZ
    return words_of(one.text, task.spans, [min(time_ms / 1000, end_s) for time_ms in times_ms], one.language)


def _unavailable(why: str) -> Failed:
    return Failed(CallerError("timestamps_unavailable", why))
