"""Real recordings in many lengths, formats and rates: prompts of one language, joined, and encoded anew.

They are made once and kept beside the fetched corpus; the same count and seed give the same files.
"""

import json
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from corpus import CACHE, LANGUAGES, Recording, read_manifest, recordings
from numpy.typing import NDArray

_LENGTHS_S = (0.5, 60.0)
_RATE_HZ = 16_000
_PAUSES_S = (0.2, 0.8)
"""Between two prompts."""
_SINGLE_UP_TO_S = 4.0
"""Below this, one prompt of about the wanted length is taken as it is."""
_PER_LANGUAGE = 400


@dataclass(frozen=True, slots=True)
class Kind:
    """How a recording is encoded."""

    suffix: str
    rate_hz: int
    channels: int
    codec: str = ""
    """libsndfile's subtype; or FFmpeg's encoder, for containers that libsndfile does not write."""


KINDS = (
    Kind("wav", 8_000, 1, "PCM_16"),
    Kind("wav", 16_000, 1, "PCM_16"),
    Kind("wav", 44_100, 2, "PCM_16"),
    Kind("wav", 48_000, 1, "PCM_24"),
    Kind("flac", 16_000, 1, "PCM_16"),
    Kind("flac", 48_000, 2, "PCM_16"),
    Kind("mp3", 44_100, 2, "MPEG_LAYER_III"),
    Kind("ogg", 22_050, 1, "VORBIS"),
    Kind("opus", 48_000, 1, "OPUS"),
    Kind("m4a", 44_100, 1, "aac"),
    Kind("webm", 48_000, 1, "libopus"),
)
_BY_FFMPEG = frozenset({"m4a", "webm"})


def variants(count: int, seed: int = 0) -> list[Recording]:
    """Return `count` recordings from 0.5 to 60 s, as many short as long by the logarithm; languages, kinds in turn."""
    folder = CACHE / f"variants-{count}-{seed}"
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}-unfinished")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        manifest = list(_make(fresh, count, seed))
        (fresh / "recordings.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
        fresh.rename(folder)
    return read_manifest(folder)


def _make(folder: Path, count: int, seed: int) -> Iterator[dict[str, object]]:
    chance = random.Random(seed)
    shortest, longest = (math.log(length_s) for length_s in _LENGTHS_S)
    prompts = {
        code: recordings(_PER_LANGUAGE, [code], min_s=_LENGTHS_S[0], seed=seed, least_words=1) for code in LANGUAGES
    }
    for i in range(count):
        language, kind = LANGUAGES[i % len(LANGUAGES)], KINDS[i % len(KINDS)]
        wanted_s = math.exp(chance.uniform(shortest, longest))
        samples, text = _joined(_chosen(prompts[language], wanted_s, chance), chance)
        name = f"{i:03}-{language}.{kind.suffix}"
        _encode(folder / name, samples, kind)
        yield {"file": name, "language": language, "text": text, "seconds": samples.size / _RATE_HZ}


def _chosen(prompts: Sequence[Recording], wanted_s: float, chance: random.Random) -> list[Recording]:
    if wanted_s < _SINGLE_UP_TO_S:
        return [min(chance.sample(prompts, len(prompts) // 4), key=lambda one: abs(one.seconds - wanted_s))]
    chosen: list[Recording] = []
    left_s = wanted_s
    for one in chance.sample(prompts, len(prompts)):
        if one.seconds + _PAUSES_S[1] <= left_s and len(one.text.split()) > 1:
            chosen.append(one)
            left_s -= one.seconds + _PAUSES_S[1]
    return chosen


def _joined(prompts: Sequence[Recording], chance: random.Random) -> tuple[NDArray[np.float32], str]:
    parts: list[NDArray[np.float32]] = []
    for one in prompts:
        samples, rate_hz = soundfile.read(one.path, dtype="float32")
        pause_s = chance.uniform(*_PAUSES_S) if parts else 0.0
        parts += [np.zeros(round(pause_s * _RATE_HZ), np.float32), soxr.resample(samples, rate_hz, _RATE_HZ)]
    return np.concatenate(parts), " ".join(one.text for one in prompts)


def _encode(path: Path, samples: NDArray[np.float32], kind: Kind) -> None:
    resampled = np.clip(soxr.resample(samples, _RATE_HZ, kind.rate_hz), -1, 1)
    # The second channel is quieter, as from a microphone further away.
    channels = np.stack([resampled, 0.6 * resampled][: kind.channels], axis=1).astype(np.float32)
    if kind.suffix not in _BY_FFMPEG:
        container = "OGG" if kind.suffix == "opus" else None
        soundfile.write(path, channels, kind.rate_hz, subtype=kind.codec, format=container)
        return
    with av.open(str(path), "w") as file:
        stream = file.add_stream(kind.codec, rate=kind.rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels.T), format="fltp", layout="mono")
        frame.sample_rate = kind.rate_hz
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=kind.rate_hz, frame_size=stream.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
