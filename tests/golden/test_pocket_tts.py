"""A real Pocket TTS, wherever one is at hand (README.md here says how to name it), listened to by Whisper base."""

import os
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create_voice
from tests.golden.understanding import assert_understood

MODEL = os.environ.get("ASR_QUEUE_GOLDEN_POCKET_TTS")

pytestmark = [
    pytest.mark.skipif(MODEL is None, reason="no Pocket TTS here: ASR_QUEUE_GOLDEN_POCKET_TTS names none"),
    pytest.mark.timeout(3600),
]


def test_what_is_said_in_a_recordings_voice_is_understood(tmp_path: Path) -> None:
    engine = create_voice("pocket-tts", EngineSettings(cache_dir=tmp_path, model=MODEL))
    assert_understood(engine, {"en": "The meeting begins at nine, and nobody should be late."}, cache_dir=tmp_path)
