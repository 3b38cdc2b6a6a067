"""A real Qwen3-TTS, wherever one is at hand (README.md here says how to name it), listened to by Whisper base."""

import os
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create_voice
from tests.engines.qwen3_tts.environment import PYTHON
from tests.golden.understanding import assert_understood

MODEL = os.environ.get("ASR_QUEUE_GOLDEN_QWEN3_TTS")
SENTENCES = {
    "en": "The meeting begins at nine, and nobody should be late.",
    "es": "La reunión empieza a las nueve y nadie debe llegar tarde.",
    "fr": "La réunion commence à neuf heures et personne ne doit être en retard.",
    "ru": "Встреча начинается в девять часов, и никто не должен опаздывать.",
}

pytestmark = [
    pytest.mark.skipif(MODEL is None, reason="no Qwen3-TTS here: ASR_QUEUE_GOLDEN_QWEN3_TTS names none"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no qwen-tts in {PYTHON}"),
    pytest.mark.timeout(3600),
]


@pytest.mark.parametrize("is_known", [False, True], ids=["the sample alone", "with what is said in it"])
def test_what_is_said_in_a_recordings_voice_is_understood(tmp_path: Path, is_known: bool) -> None:
    engine = create_voice("qwen3-tts", EngineSettings(cache_dir=tmp_path, model=MODEL, python=PYTHON))
    assert_understood(engine, SENTENCES, cache_dir=tmp_path, is_known=is_known)
