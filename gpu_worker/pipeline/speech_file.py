"""From samples of speech to the file that a client fetches, which says of itself that it is synthetic."""

import io
from typing import Any, Final

import numpy as np
import soundfile

from asr_queue.domain.speech import SpeechFormat
from gpu_worker.engine import Samples

_WRITTEN_AS: Final[dict[SpeechFormat, dict[str, Any]]] = {
    SpeechFormat.WAV: {"format": "WAV", "subtype": "PCM_16"},
    SpeechFormat.FLAC: {"format": "FLAC", "subtype": "PCM_16"},
    # LAME's V2; for speech at 24 kHz some 67 kbit/s, and 33 dB above what it changes.
    SpeechFormat.MP3: {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "VARIABLE",
        "compression_level": 0.2,
    },
}


def encode(samples: Samples, *, rate_hz: int, form: SpeechFormat, mark: str) -> bytes:
    """Return a mono file of 16 bits, or of mp3, with the mark as its comment; equal for equal arguments.

    Every reader of tags shows the comment: RIFF's ICMT in a wav, Vorbis' COMMENT in a flac, ID3's COMM in an mp3. All
    three carry it, and none of them keeps anybody from taking it away.

    Args:
        samples: float32[n_samples], finite, at least one; what is over full scale is clipped.
        rate_hz: theirs, and the file's. MPEG has nine rates from 8,000 to 48,000, those of engines (24,000) among them.
        form: kind of file.
        mark: printable ASCII, for that is all that libsndfile writes in every form as it is.

    Raises:
        ValueError: the mark is none.
        soundfile.LibsndfileError: MPEG has no such rate.
    """
    if not (mark and mark.isascii() and mark.isprintable()):
        raise ValueError("the mark must be printable ASCII")
    # As libsndfile does it for float samples, but for what is over full scale; no dither: noise under -90 dB is what
    # speech has anyhow, and the same speech gives the same file.
    written = np.rint(np.clip(samples, -1.0, 1.0) * 32_767).astype(np.int16)
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", rate_hz, 1, **_WRITTEN_AS[form]) as file:
        file.comment = mark
        file.write(written)
    return target.getvalue()
