"""From a recording to the sample of a voice that an engine can speak in."""

from collections.abc import Callable
from typing import Final

import numpy as np
import soxr

from asr_queue.errors import CallerError
from gpu_worker.engine import Samples, Voice, VoiceLimits
from gpu_worker.pipeline.cut import quietest
from gpu_worker.pipeline.silence import without_silent_ends

HEARING_RATE_HZ: Final = 16_000
"""Rate of what `hears` is asked about."""
_LOOKED_AT: Final = 10
"""So many times the longest sample are searched for its beginning; the rest of hours of audio is not read."""
_KEPT_SILENCE_S: Final = 0.1
"""What stays at either end: the first and last sounds of speech are soft."""
_LEAST_HEARD: Final = 0.5
"""Of the seconds of a sample, those in which somebody speaks: real speech comes to nearly all, a melody to a few."""


def checked_voice(
    samples: Samples, *, limits: VoiceLimits, digest: str, said: str, hears: Callable[[Samples], bool]
) -> Voice:
    """Take the silence off both ends, cut what is too long at a quiet point, and see that it is somebody's voice.

    Its level, and whatever else is wrong with it, stays as it is: engines are trained on what people record.

    Args:
        samples: float32[n_samples], mono, finite, in [-1, 1], at `limits.sample_rate_hz`.
        limits: of the engine that is to speak.
        digest: of the voice (`Voice.digest`).
        said: what is said in the sample; empty where nobody knows.
        hears: whether anybody speaks in a second or so of samples, at HEARING_RATE_HZ.

    Returns:
        The voice, with samples of its own, `limits.min_sample_s` to `limits.max_sample_s` of them.

    Raises:
        CallerError: `voice_silent`; `voice_too_short`: less than `limits.min_sample_s` without the silence at its
            ends, for that is what the engine gets; `voice_not_speech`: nobody speaks in half of it.
    """
    rate_hz = limits.sample_rate_hz
    most, least = round(limits.max_sample_s * rate_hz), round(limits.min_sample_s * rate_hz)
    sample = without_silent_ends(samples[: _LOOKED_AT * most], sample_rate_hz=rate_hz, kept_s=_KEPT_SILENCE_S)
    if sample.size == 0:
        raise CallerError("voice_silent", "There is no sound in the voice's sample; record it anew, or louder.")
    if sample.size < least:
        raise CallerError(
            "voice_too_short",
            f"The voice's sample has {sample.size / rate_hz:.2f} s without the silence at its ends; "
            f"at least {limits.min_sample_s:g} s are needed. Send more of it.",
        )
    if sample.size > most:
        sample = sample[: max(least, quietest(sample, most, rate_hz))]
    if not _is_speech(sample, rate_hz, hears):
        raise CallerError(
            "voice_not_speech",
            f"Hardly anybody speaks in the {sample.size / rate_hz:.1f} s of the voice's sample that are listened to; "
            "send a recording of one person who speaks, without music.",
        )
    return Voice(digest=digest, samples=sample.copy(), said=said)


def _is_speech(sample: Samples, rate_hz: int, hears: Callable[[Samples], bool]) -> bool:
    heard = np.asarray(soxr.resample(sample, rate_hz, HEARING_RATE_HZ), dtype=np.float32)
    seconds = np.array_split(heard, max(1, round(heard.size / HEARING_RATE_HZ)))
    return sum(map(hears, seconds)) >= _LEAST_HEARD * len(seconds)
