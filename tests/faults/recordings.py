"""The recordings that clients upload: people speaking, in the tests' own collection, and what is no good as one."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

CORRUPT: Final = -1
SILENT: Final = -2
SHORT: Final = -3
"""Places of what is none of the collection: no audio at all, silence, and half a second of somebody."""

_FOLDER = Path(__file__).parents[1] / "recordings"
_SHORT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording."""

    data: bytes = field(repr=False)
    audio_s: float


def recordings() -> list[Recording]:
    """Return all of them, in the order of the collection's list."""
    names = [entry["file"] for entry in json.loads((_FOLDER / "recordings.json").read_text())]
    return [Recording((_FOLDER / name).read_bytes(), soundfile.info(_FOLDER / name).duration) for name in names]


def upload(place: int, collection: list[Recording]) -> bytes:
    """Return what is uploaded for a place: a recording of the collection, each long enough to be a voice, or none."""
    if place >= 0:
        return collection[place].data
    if place == CORRUPT:
        return b"no audio at all"
    samples, rate_hz = soundfile.read(io.BytesIO(collection[0].data), dtype="int16")
    target = io.BytesIO()
    soundfile.write(
        target,
        np.zeros_like(samples) if place == SILENT else samples[: round(_SHORT_S * rate_hz)],
        rate_hz,
        format="WAV",
    )
    return target.getvalue()
