"""Whether what a voice engine says in a recording's voice is understood by Whisper base.

The tolerances are wide, and not measured: nobody who wrote them had the weights. They tell speech from noise, and the
text that was asked for from another.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soxr

from benchmarks.word_errors import word_error_rate
from gpu_worker.engine import Done, EngineSettings, Voice, VoiceEngine, VoiceInput
from gpu_worker.engines.catalog import create
from tests.engines.clips import RATE_HZ, asked, clips_of, recognised

MOST_WRONG = 0.25
SLOWEST_S_PER_CHARACTER, FASTEST_S_PER_CHARACTER = 0.2, 0.03


def assert_understood(
    engine: VoiceEngine, sentences: Mapping[str, str], *, cache_dir: Path, is_known: bool = False
) -> None:
    """Have an engine that is not loaded say sentences, by their languages, in the voice of three English recordings.

    Args:
        engine: unloaded again in the end.
        sentences: by their languages' codes.
        cache_dir: where Whisper's weights are put together.
        is_known: whether the engine is told what is said in the recordings.
    """
    clips = clips_of("en")[:3]
    samples = np.concatenate([clip.samples for clip in clips])
    listener = create("whisper", EngineSettings(cache_dir=cache_dir))
    voice = Voice(
        digest="golden".ljust(64, "0"),
        samples=soxr.resample(samples, RATE_HZ, engine.limits.sample_rate_hz).astype(np.float32),
        said=" ".join(clip.text for clip in clips) if is_known else "",
    )
    engine.load()
    outcomes = engine.run([VoiceInput(text=text, voice=voice, language=code) for code, text in sentences.items()])
    engine.unload()
    listener.load()
    pairs = []
    for (code, text), outcome in zip(sentences.items(), outcomes, strict=True):
        assert isinstance(outcome, Done)
        assert not outcome.value.is_truncated
        seconds = outcome.value.samples.size / engine.limits.speech_rate_hz
        assert FASTEST_S_PER_CHARACTER < seconds / len(text) < SLOWEST_S_PER_CHARACTER, code
        heard = soxr.resample(outcome.value.samples, engine.limits.speech_rate_hz, RATE_HZ)
        pairs.append((text, recognised(listener, asked(heard, code, want_words=False))[0].text, code))
    listener.unload()
    assert word_error_rate(pairs) < MOST_WRONG, pairs
