"""Cutting audio into what one engine input may hold."""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gpu_worker.engine import Limits, Samples

_WINDOW_S: Final = 10.0
"""How far before the limit a pause is looked for: long enough for one between sentences."""
_PAUSE_S: Final = 0.2
"""Length of the stretch whose loudness is compared: a stop inside a word is shorter, a pause between words is not."""
_STEP_S: Final = 0.02
_LEAST_REST_S: Final = 1.0
"""What a cut leaves at least, where the limit allows: a snippet shorter than a word is recognised badly."""


def cut(samples: Samples, limits: Limits, *, with_words: bool = False) -> list[Samples]:
    """Cut at the quietest point before each limit; end to end, the chunks are the input exactly.

    Looks only at the ten seconds before each cut, so that mapped audio is not read as a whole.

    Args:
        samples: float32[n_samples], mono, limits.sample_rate_hz; at least one sample.
        limits: of the engine that is to take the chunks.
        with_words: whether it will be asked for word times.

    Returns:
        Views of the input, each of 1 to `round(limits.longest_s(...) * limits.sample_rate_hz)` samples.
    """
    most = round(limits.longest_s(with_words=with_words) * limits.sample_rate_hz)
    chunks = []
    while samples.size > most:
        at = quietest(samples, most, limits.sample_rate_hz)
        chunks.append(samples[:at])
        samples = samples[at:]
    return [*chunks, samples]


def quietest(samples: Samples, most: int, sample_rate_hz: int) -> int:
    """Return where to cut: the middle of the quietest stretch that ends within the limit, the latest of equals.

    Args:
        samples: more than `most` of them.
        most: what may be before the cut, in samples, at least 1; half of it is there in any case.
        sample_rate_hz: theirs.
    """
    step = max(1, round(_STEP_S * sample_rate_hz))
    wide = max(1, round(_PAUSE_S / _STEP_S))
    half = max(1, most // 2)
    end = min(most, max(half, samples.size - round(_LEAST_REST_S * sample_rate_hz)))
    begin = max(end - round(_WINDOW_S * sample_rate_hz), half)
    steps = (end - begin) // step
    if steps < wide:
        return end
    begin = end - steps * step
    power = np.square(samples[begin:end], dtype=np.float64).reshape(steps, step).mean(axis=1)
    stretches = sliding_window_view(power, wide).sum(axis=1)
    latest = stretches.size - 1 - int(np.argmin(stretches[::-1]))
    return int(begin + latest * step + wide * step // 2)
