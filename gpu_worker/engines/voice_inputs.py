"""What every voice engine refuses before it speaks."""

import numpy as np

from asr_queue.domain.languages import NAMES
from asr_queue.errors import CallerError
from gpu_worker.engine import VoiceInput, VoiceLimits


def refusal(one: VoiceInput, limits: VoiceLimits) -> CallerError | None:
    """Return why this input cannot be said within these limits, or None where it can."""
    if not any(map(str.isalnum, one.text)):
        return CallerError("text_empty", "There is nothing in the text that could be said; send words.")
    if len(one.text) > limits.max_chars:
        return CallerError(
            "text_too_long", f"One piece holds at most {limits.max_chars} characters, but this one has {len(one.text)}."
        )
    if one.language is not None and one.language not in limits.languages:
        name = NAMES.get(one.language, one.language)
        return CallerError("language_not_supported", f"This engine does not speak {name} ({one.language!r}).")
    samples = one.voice.samples
    sample_s = samples.size / limits.sample_rate_hz
    if samples.ndim != 1 or not np.isfinite(samples).all():
        return CallerError("audio_not_finite", "The voice's sample must be finite mono samples.")
    if sample_s < limits.min_sample_s:
        return CallerError(
            "voice_too_short",
            f"The voice's sample has {sample_s:.2f} s; at least {limits.min_sample_s:g} s are needed. Send more of it.",
        )
    return None
