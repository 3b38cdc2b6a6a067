"""The Engine interface: what the pipe asks of a model, and what it gets back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from asr_queue.domain.transcript import Word
from asr_queue.errors import CallerError

Samples = NDArray[np.float32]
"""float32[n_samples], mono, in [-1, 1], at the engine's sample rate."""

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class EngineLimits(Protocol):
    """What the limits of all engines have in common."""

    @property
    def max_micro_batch(self) -> int:
        """Inputs in one `run`, at least 1."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate that samples must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a speech engine can take; the cutter and the batcher obey it."""

    max_micro_batch: int
    """Inputs in one `run`, at least 1."""
    max_chunk_s: float
    """Longest audio of one input, in seconds."""
    max_chunk_with_words_s: float | None = None
    """The same where word times are asked for; None where that makes no difference."""
    sample_rate_hz: int
    """Rate that the samples must have."""
    languages: frozenset[str]
    """Codes (of `asr_queue.domain.languages`) that may be given as a hint."""

    def longest_s(self, *, with_words: bool) -> float:
        """Return the longest audio of an input whose word times are asked for, or not."""
        return (with_words and self.max_chunk_with_words_s) or self.max_chunk_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechInput:
    """One chunk of speech to recognise."""

    samples: Samples
    """At least one sample, at most `limits.longest_s`."""
    language: str | None
    """Language code to take as given, or None to identify it."""
    want_words: bool
    """Whether word times are asked for."""
    prompt: str = ""
    """Context and rare words. It may change how what was said is written; where nobody speaks, nothing is written."""
    has_speech: bool | None = None
    """What `SpeechEngine.has_speech` said of the samples; None where it was not asked, and `run` finds out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """What was said in one chunk."""

    text: str
    """Stripped; empty where nothing was said."""
    language: str | None
    """Code of the given or identified language; None where nothing was said and none was given."""
    language_probability: float | None = None
    """How sure the engine was of a language that it identified, 0 to 1; None where it was given, or nobody can say."""
    words: tuple[Word, ...] | None
    """Seconds from the start of the chunk, in order; None unless asked for. All words of the text, or none."""
    timestamps_unavailable: str | None = None
    """Why there are none though they were asked for and something was said; for people."""
    is_truncated: bool = False
    """Whether the model was stopped before it had come to an end: the text may lack what was said last."""
    is_repetitive: bool = False
    """Whether the model had said one thing over and over, which the text has once: much may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLimits:
    """What a voice engine can take, and what it makes."""

    max_micro_batch: int
    """Inputs in one `run`, at least 1."""
    max_chars: int
    """Longest text of one input."""
    sample_rate_hz: int
    """Rate that a voice's sample must have."""
    min_sample_s: float
    """Least of a voice's sample, in seconds."""
    max_sample_s: float
    """Most of it that is listened to; what is longer is cut there."""
    speech_rate_hz: int
    """Rate of the speech that is made."""
    languages: frozenset[str]
    """Codes (of `asr_queue.domain.languages`) in which it can speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A sample of somebody's voice."""

    digest: str
    """SHA-256 over the file that the sample came in and `said`, in hex: equal for equal voices."""
    samples: Samples = field(repr=False)
    """`limits.min_sample_s` to `limits.max_sample_s`, with speech in it."""
    said: str = ""
    """What is said in the sample; empty where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceInput:
    """One piece of text to say."""

    text: str
    """At least one character that can be said, at most `limits.max_chars`."""
    voice: Voice
    language: str | None
    """Code of the text's language, or None for the engine to find out, or to take its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One piece of text, said."""

    samples: Samples = field(repr=False)
    """At `limits.speech_rate_hz`; at least one."""
    is_truncated: bool = False
    """Whether the model was stopped before it had come to an end: the last words may be missing."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Out_co]):
    """One input succeeded."""

    value: Out_co


@dataclass(frozen=True, slots=True)
class Failed:
    """One input failed, through its own fault."""

    error: CallerError


class Engine(Protocol[In_contra, Out_co]):
    """load -> run* -> unload, from one thread. `run` never touches the network."""

    @property
    def limits(self) -> EngineLimits:
        """Known before `load`, which may narrow them to what the device has room for."""

    def load(self) -> None:
        """Put the weights on the device and warm up; idempotent.

        Raises:
            EngineNoRoomError: there is no room for them now; nothing is held, and another try may go well.
            EngineLoadError: they are missing or damaged.
        """

    def run(self, micro_batch: Sequence[In_contra]) -> Sequence[Done[Out_co] | Failed]:
        """Process one micro-batch: one outcome an input, in input order; a bad input fails alone.

        Args:
            micro_batch: 1 to `limits.max_micro_batch` inputs.

        Raises:
            EngineOutOfMemoryError: nothing was produced; the caller may halve and try again.
            EngineBrokenError: nothing was produced, and nothing ever will be in this process.
        """

    def unload(self) -> None:
        """Give the memory back; `load` works again afterwards. Idempotent."""


@runtime_checkable
class Parkable(Protocol):
    """An engine that can leave the device quickly, and come back quickly by `load`."""

    def park(self) -> None:
        """Give the device's memory to others, and keep in the host's memory what makes the next `load` fast.

        `run` needs a `load` again. Idempotent; nothing happens where the engine is not loaded.
        """

    @property
    def device_bytes(self) -> int:
        """What it holds of the device's memory, as measured; 0 while it is parked or not loaded."""


@runtime_checkable
class SelfChecking(Protocol):
    """An engine that computes in a faster way than the plain one, and can compare the two where it runs."""

    def self_check(self) -> Sequence[str]:
        """Say what differs, in sentences; nothing where all is well. It must be loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What every engine in the catalogue is built from; the worker's settings fill it."""

    cache_dir: Path
    """Folder that weights may be kept in; made when it is missing."""
    model: str | None = None
    """Folder or hub name of other weights; None for the engine's own."""
    aligner: str | None = None
    """Folder or hub name of other weights for word times, or NO_ALIGNER; None for the engine's own."""
    device: str | None = None
    """Where to compute, as the engine's library names it; None for the best there is."""
    dtype: str | None = None
    """Type of the weights, as the engine's library names it; None for the one that suits the device."""
    micro_batch: int = 16
    """Most inputs of one `run` that will be asked for, at least 1; the engine may take fewer."""
    memory_bytes: int | None = None
    """Most of the device's memory that this process may hold, other engines included; None for all there is."""
    threads: int | None = None
    """Processor threads to use, at least 1; None for every core that this process may run on."""
    python: Path | None = None
    """Interpreter of an engine whose model has a process of its own; None for the one that runs this process."""


NO_ALIGNER: Final = "none"
"""In the place of an aligner's name: word times are not wanted from this worker."""


class SpeechEngine(Engine[SpeechInput, Recognition], Protocol):
    """Recognises speech."""

    @property
    def limits(self) -> Limits:
        """As for every engine."""

    def has_speech(self, samples: Samples) -> bool | None:
        """Whether anybody speaks, where `run` would have to find that out first; None where it would not.

        May be called from any thread while the engine is loaded or parked, beside `run` too: so the device need not
        wait for it.
        """


class VoiceEngine(Engine[VoiceInput, Speech], Protocol):
    """Speaks in the voice of a sample.

    What it makes of a sample before it can speak is kept by the voice's `digest`, for as many voices as its memory
    allows; so an input costs that only where its voice is new.
    """

    @property
    def limits(self) -> VoiceLimits:
        """As for every engine."""
