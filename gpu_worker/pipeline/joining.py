"""From pieces of speech to one."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gpu_worker.engine import Samples
from gpu_worker.pipeline.silence import without_silent_ends

PAUSE_S: Final = 0.25
"""What is put between two pieces; with what stays of their own silence 0.25 to 0.45 s, as readers pause."""
KEPT_SILENCE_S: Final = 0.1
"""What stays of a piece's silence at either end; models leave any length of it, and the softest sounds are in it."""
_FADE_S: Final = 0.005
"""Long enough to make no click of a sound that begins or ends within a period, and too short to be heard as a fade."""


def join_speech(pieces: Sequence[Samples], *, rate_hz: int) -> Samples:
    """Put pieces behind each other with pauses between, so that no seam clicks; nothing changes their level.

    Args:
        pieces: float32[n_samples], mono, finite, at `rate_hz`.
        rate_hz: theirs, and that of the result.

    Returns:
        float32, in [-1, 1]: the pieces, each without the silence at its ends that is over KEPT_SILENCE_S, faded in and
        out and therefore beginning and ending with 0, and PAUSE_S of zeros between two. A piece without any sound is
        left out; where all are, the result is one pause.
    """
    pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
    parts: list[Samples] = []
    for piece in pieces:
        sound = without_silent_ends(piece, sample_rate_hz=rate_hz, kept_s=KEPT_SILENCE_S)
        if sound.size:
            parts += [pause, _faded(sound, rate_hz)] if parts else [_faded(sound, rate_hz)]
    return np.clip(np.concatenate(parts or [pause]), -1.0, 1.0)


def _faded(sound: Samples, rate_hz: int) -> Samples:
    """Return a copy that rises from 0 and falls to 0 as half a cosine does, in half its length at most."""
    size = min(round(_FADE_S * rate_hz), (sound.size + 1) // 2)
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / max(1, size))).astype(np.float32)
    faded = sound.copy()
    faded[:size] *= rise
    faded[sound.size - size :] *= rise[::-1]
    return faded
