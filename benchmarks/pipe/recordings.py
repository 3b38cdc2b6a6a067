"""Real recordings, joined to the lengths that are wanted and encoded in what clients send."""

import io
import random

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.corpus import Corpus

_RATE_HZ = 16_000
_FILES = 64
_LENGTHS_S = (2.0, 30.0)
_KINDS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"))


def make_files(known: Corpus) -> tuple[list[bytes], str]:
    """Return files of 2 to 30 s, every length as likely, their formats in turn; and where they come from."""
    chance = random.Random(0)
    clips = [_samples(one.path) for one in chance.sample(known.recordings, min(200, len(known.recordings)))]
    files = []
    for i in range(_FILES):
        wanted = round(_RATE_HZ * chance.uniform(*_LENGTHS_S))
        joined: list[NDArray[np.float32]] = []
        while sum(map(len, joined)) < wanted:
            joined.append(chance.choice(clips))
        format_name, subtype = _KINDS[i % len(_KINDS)]
        encoded = io.BytesIO()
        soundfile.write(encoded, np.concatenate(joined)[:wanted], _RATE_HZ, format=format_name, subtype=subtype)
        files.append(encoded.getvalue())
    kinds = ", ".join(f"{name}/{subtype}" for name, subtype in _KINDS)
    return files, f"{_FILES} files of {_LENGTHS_S[0]:g} to {_LENGTHS_S[1]:g} s ({kinds}), joined from {known.source}"


def _samples(path: object) -> NDArray[np.float32]:
    samples, rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate_hz, _RATE_HZ), dtype=np.float32)
