"""The repository's recordings as engine inputs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.corpus import COMMITTED, read_manifest
from gpu_worker.engine import Done, Failed, Recognition, Samples, SpeechEngine, SpeechInput

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording at the engines' sample rate."""

    path: Path
    language: str
    text: str
    samples: Samples

    @property
    def seconds(self) -> float:
        return self.samples.size / RATE_HZ


@cache
def clips_of(language: str) -> list[Clip]:
    """Return the repository's recordings in one language, in the manifest's order."""
    return [
        Clip(one.path, one.language, one.text, _read(one.path))
        for one in read_manifest(COMMITTED)
        if one.language == language
    ]


def asked(samples: Samples, language: str | None = None, *, want_words: bool = True, prompt: str = "") -> SpeechInput:
    return SpeechInput(samples=samples.astype(np.float32), language=language, want_words=want_words, prompt=prompt)


def recognised(engine: SpeechEngine, *inputs: SpeechInput) -> list[Recognition]:
    """Run one micro-batch in which everything must succeed."""
    return [value_of(outcome) for outcome in engine.run(inputs)]


def value_of(outcome: Done[Recognition] | Failed) -> Recognition:
    assert isinstance(outcome, Done), outcome
    return outcome.value


def _read(path: Path) -> Samples:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)
