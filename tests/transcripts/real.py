"""Real recordings, alone and joined, through the worker's whole pipe and a real engine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gpu_worker.engine import Samples, SpeechEngine
from tests.engines.clips import RATE_HZ, clips_of
from tests.pipeline.makers import encoded
from tests.pipeline.rig import Rig, until

REAL = Path(__file__).with_name("real.jsonl")
"""What became of `recordings()`, as the worker stored it."""
_LANGUAGES = ("en", "es", "fr", "it", "ru")
_JOINED = 6
"""Long recordings of each language."""
_PATIENCE_S = 1800.0


def recordings() -> list[Samples]:
    """Return 200 recordings of 1 to 50 s: each there is, each with the next one behind it, and longer ones.

    Of those with another one behind them the first 0.3 s are cut off, which cuts words; pauses are of 0.1 to 1.5 s.
    """
    found = [sound for language in _LANGUAGES for sound in _of(language)]
    assert len(found) == 200
    return found


def transcribed(engine: SpeechEngine, sounds: Sequence[Samples]) -> list[bytes]:
    """Return the transcript of each, with word times, as a worker with a loaded engine stores it."""
    rig = Rig(engine, visibility_timeout_s=60)
    batch_id = rig.submit(*(encoded(sound, RATE_HZ, "WAV", "PCM_16") for sound in sounds), return_timestamps=True)
    with rig.worker():
        until(lambda: all(item.status.is_final for item in rig.items(batch_id)), timeout_s=_PATIENCE_S)
    stored = [rig.store.get(item.result_key or "") for item in rig.items(batch_id)]
    return [data for data in stored if data is not None]


def _of(language: str) -> Iterator[Samples]:
    alone = [clip.samples for clip in clips_of(language)]
    yield from alone
    for i, sound in enumerate(alone):
        yield _joined([sound[round(0.3 * RATE_HZ) :], alone[(i + 1) % len(alone)]], 0.9)
    for i in range(_JOINED):
        start = 3 * i
        together = [alone[(start + k) % len(alone)] for k in range(6 + i)]
        yield _joined(together, 0.1 + 0.28 * i)


def _joined(sounds: Sequence[Samples], pause_s: float) -> Samples:
    pause = np.zeros(round(pause_s * RATE_HZ), np.float32)
    return np.concatenate([part for sound in sounds for part in (sound, pause)][:-1])
