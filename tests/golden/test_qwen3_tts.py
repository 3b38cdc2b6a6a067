"""A real Qwen3-TTS, wherever one is at hand (README.md here says how to name it), listened to by Whisper base.

The tolerances are wide, and not measured: nobody who wrote them had the weights. They tell speech from noise, and the
text that was asked for from another.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soxr

from benchmarks.word_errors import word_error_rate
from gpu_worker.engine import Done, EngineSettings, Voice, VoiceInput
from gpu_worker.engines.catalog import create, create_voice
from tests.engines.clips import RATE_HZ, asked, clips_of, recognised
from tests.engines.qwen3_tts.environment import PYTHON

MODEL = os.environ.get("ASR_QUEUE_GOLDEN_QWEN3_TTS")
SENTENCES = {
    "en": "The meeting begins at nine, and nobody should be late.",
    "es": "La reunión empieza a las nueve y nadie debe llegar tarde.",
    "fr": "La réunion commence à neuf heures et personne ne doit être en retard.",
    "ru": "Встреча начинается в девять часов, и никто не должен опаздывать.",
}
MOST_WRONG = 0.25
SLOWEST_S_PER_CHARACTER, FASTEST_S_PER_CHARACTER = 0.2, 0.03

pytestmark = [
    pytest.mark.skipif(MODEL is None, reason="no Qwen3-TTS here: ASR_QUEUE_GOLDEN_QWEN3_TTS names none"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no qwen-tts in {PYTHON}"),
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("is_known", [False, True], ids=["the sample alone", "with what is said in it"])
def test_what_is_said_in_a_recordings_voice_is_understood(tmp_path: Path, is_known: bool) -> None:
    clips = clips_of("en")[:3]
    samples = np.concatenate([clip.samples for clip in clips])
    settings = EngineSettings(cache_dir=tmp_path, model=MODEL, python=PYTHON)
    engine, listener = create_voice("qwen3-tts", settings), create("whisper", EngineSettings(cache_dir=tmp_path))
    voice = Voice(
        digest="golden".ljust(64, "0"),
        samples=soxr.resample(samples, RATE_HZ, engine.limits.sample_rate_hz).astype(np.float32),
        said=" ".join(clip.text for clip in clips) if is_known else "",
    )
    engine.load()
    outcomes = engine.run([VoiceInput(text=text, voice=voice, language=code) for code, text in SENTENCES.items()])
    engine.unload()
    listener.load()
    pairs = []
    for (code, text), outcome in zip(SENTENCES.items(), outcomes, strict=True):
        assert isinstance(outcome, Done)
        assert not outcome.value.is_truncated
        seconds = outcome.value.samples.size / engine.limits.speech_rate_hz
        assert FASTEST_S_PER_CHARACTER < seconds / len(text) < SLOWEST_S_PER_CHARACTER, code
        heard = soxr.resample(outcome.value.samples, engine.limits.speech_rate_hz, RATE_HZ)
        pairs.append((text, recognised(listener, asked(heard, code, want_words=False))[0].text, code))
    listener.unload()
    assert word_error_rate(pairs) < MOST_WRONG, pairs
