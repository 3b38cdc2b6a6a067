"""The recordings that clients upload: people speaking, in the tests' own collection."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

_FOLDER = Path(__file__).parents[1] / "recordings"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording."""

    data: bytes = field(repr=False)
    audio_s: float


def recordings() -> list[Recording]:
    """Return all of them, in the order of the collection's list."""
    names = [entry["file"] for entry in json.loads((_FOLDER / "recordings.json").read_text())]
    return [Recording((_FOLDER / name).read_bytes(), soundfile.info(_FOLDER / name).duration) for name in names]
