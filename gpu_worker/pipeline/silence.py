"""Taking silence away from the ends of a recording."""

from typing import Final

import numpy as np

from gpu_worker.engine import Samples

_FRAME_S: Final = 0.02
"""Length of the stretch whose loudness is looked at: two periods of the deepest voice."""
_FLOOR: Final = 10 ** (-60 / 20)
"""Loudness, as RMS of full scale, that the loudest frame of a sound has at least: 16 bits have 30 steps left there."""
_RANGE: Final = 10 ** (-40 / 20)
"""What is so much softer than the loudest frame is silence: the weakest consonants are some 30 dB under the vowels."""


def without_silent_ends(samples: Samples, *, sample_rate_hz: int, kept_s: float) -> Samples:
    """Return a view of the samples with no more than `kept_s` of silence at either end; empty where all is silence.

    A constant offset is not taken for sound.
    """
    step = max(1, round(_FRAME_S * sample_rate_hz))
    if samples.size == 0:
        return samples
    frames = np.pad(samples, (0, -samples.size % step), mode="edge").reshape(-1, step)
    loudness = frames.std(axis=1, dtype=np.float64)
    if loudness.max() < _FLOOR:
        return samples[:0]
    sounding = np.flatnonzero(loudness >= loudness.max() * _RANGE)
    kept = round(kept_s * sample_rate_hz)
    return samples[max(0, int(sounding[0]) * step - kept) : (int(sounding[-1]) + 1) * step + kept]
