"""Where in a clip somebody speaks: Silero's voice activity detection, as faster-whisper ships it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpu_worker.engine import Samples

SAMPLE_RATE_HZ: Final = 16_000
_FRAME_SAMPLES: Final = 512
"""What Silero judges at once: 32 ms."""
_ONSET: Final = 0.5
"""Probability from which a frame is speech (Silero's own default)."""
_OFFSET: Final = 0.35
"""Probability below which speech has ended (Silero's own default: 0.15 under the onset)."""
_BRIDGED_SAMPLES: Final = 2 * SAMPLE_RATE_HZ
"""Pauses shorter than this stay (faster-whisper's default)."""
_LISTENED_SAMPLES: Final = 64 * _FRAME_SAMPLES
"""What `SpeechFinder.hears` looks at in one go: 2 s, which take it 5 ms."""
_BEFORE_SAMPLES: Final = 8 * _FRAME_SAMPLES
"""What it hears before that, to get used to the sound."""
_MARGIN_SAMPLES: Final = round(0.4 * SAMPLE_RATE_HZ)
"""What is kept on each side of speech, so that no first or last sound is lost (faster-whisper's default)."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a clip, in samples; `0 <= start <= end <= clip`."""

    start: int
    end: int


class SpeechFinder:
    """Silero on one thread; safe to call from several threads at once."""

    def __init__(self) -> None:
        import faster_whisper
        from faster_whisper.vad import SileroVADModel
        from onnxruntime.capi.onnxruntime_pybind11_state import (  # type: ignore[import-untyped]
            Fail,
            RuntimeException,
        )

        assets = Path(faster_whisper.__file__).parent / "assets"
        self._model: Any = SileroVADModel(str(assets / "silero_vad_v6.onnx"))
        self._errors: tuple[type[Exception], ...] = (Fail, RuntimeException)

    def find(self, samples: Samples) -> list[Section]:
        """Return the sections with speech, in order and apart; none where nobody speaks.

        Raises:
            RuntimeError: ONNX Runtime failed; its own errors are not even of this kind.
        """
        return _with_margins(_runs(self._probabilities(samples), samples.size), samples.size)

    def hears(self, samples: Samples) -> bool:
        """Whether anybody speaks: a fifteenth of the time of `find` where the loudest 2 s of 30 are speech.

        Raises:
            RuntimeError: as `find`.
        """
        starts = range(0, samples.size, _LISTENED_SAMPLES)
        loudness = {start: float(np.abs(samples[start : start + _LISTENED_SAMPLES]).sum()) for start in starts}
        return any(
            self._probabilities(samples[max(0, start - _BEFORE_SAMPLES) : start + _LISTENED_SAMPLES]).max() >= _ONSET
            for start in sorted(starts, key=loudness.__getitem__, reverse=True)
            if loudness[start] > 0
        )

    def _probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """Return how likely there is speech in each frame."""
        # Silero wants whole frames; a frame of silence behind the end also lets the last word end.
        padded = np.pad(samples, (0, _FRAME_SAMPLES - samples.size % _FRAME_SAMPLES))
        try:
            return np.asarray(self._model(padded), dtype=np.float32).reshape(-1)
        except self._errors as error:
            raise RuntimeError(str(error)) from error


def join(samples: Samples, sections: Sequence[Section]) -> Samples:
    """Return the sections' samples, one behind the other."""
    if len(sections) == 1 and sections[0] == Section(0, samples.size):
        return samples
    return np.concatenate([samples[section.start : section.end] for section in sections])


def original_span(start: int, end: int, sections: Sequence[Section]) -> Section:
    """Return where a span of the joined sections lies in the clip: within the one section that its middle is in.

    Args:
        start: index into what `join` returned.
        end: not before `start`, and at most one past the end.
        sections: at least one.
    """
    middle, before = (start + end) // 2, 0
    for section in sections[:-1]:
        if middle < before + section.end - section.start:
            break
        before += section.end - section.start
    else:
        section = sections[-1]

    def moved(joined: int) -> int:
        return min(max(section.start, section.start + joined - before), section.end)

    return Section(moved(start), moved(end))


def _runs(probabilities: NDArray[np.float32], n_samples: int) -> list[Section]:
    runs: list[Section] = []
    start: int | None = None
    for i, probability in enumerate(probabilities):
        if start is None and probability >= _ONSET:
            start = i * _FRAME_SAMPLES
        elif start is not None and probability < _OFFSET:
            runs.append(Section(start, min(i * _FRAME_SAMPLES, n_samples)))
            start = None
    if start is not None:
        runs.append(Section(start, n_samples))
    return [run for run in runs if run.end > run.start]


def _with_margins(runs: Sequence[Section], n_samples: int) -> list[Section]:
    sections: list[Section] = []
    for run in runs:
        start, end = max(0, run.start - _MARGIN_SAMPLES), min(n_samples, run.end + _MARGIN_SAMPLES)
        if sections and run.start - (sections[-1].end - _MARGIN_SAMPLES) < _BRIDGED_SAMPLES:
            start = sections.pop().start
        sections.append(Section(start, end))
    return sections
