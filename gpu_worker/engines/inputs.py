"""What every speech engine refuses before it looks at the sound."""

import numpy as np

from asr_queue.domain.languages import NAMES
from asr_queue.errors import CallerError
from gpu_worker.engine import Limits, SpeechInput


def refusal(one: SpeechInput, limits: Limits) -> CallerError | None:
    """Return why this input cannot be recognised within these limits, or None where it can."""
    samples = one.samples
    if samples.ndim != 1:
        return CallerError("audio_not_mono", f"The audio must be mono samples, but has shape {samples.shape}.")
    if samples.size == 0:
        return CallerError("audio_empty", "The audio has no samples; send a recording with sound in it.")
    audio_s = samples.size / limits.sample_rate_hz
    longest_s = limits.longest_s(with_words=one.want_words)
    if samples.size > round(longest_s * limits.sample_rate_hz):
        return CallerError(
            "audio_too_long", f"One chunk holds at most {longest_s:g} s, but this one has {audio_s:.2f} s."
        )
    if not np.isfinite(samples).all():
        return CallerError("audio_not_finite", "The audio holds values that are no numbers (NaN or infinity).")
    if one.language is not None and one.language not in limits.languages:
        name = NAMES.get(one.language, one.language)
        return CallerError(
            "language_not_supported", f"This engine does not know {name} ({one.language!r}); leave the hint out."
        )
    return None
