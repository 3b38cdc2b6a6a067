"""The same recordings through a real Qwen3-ASR, wherever one is at hand (README.md here says how to name it).

The tolerances are set from what its authors publish (arXiv 2601.21337) with room for two wrong words a language, not
measured here: nobody who wrote them had the weights.
"""

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from benchmarks.word_errors import word_error_rate
from gpu_worker.engine import EngineSettings, SpeechEngine
from gpu_worker.engines.catalog import create
from tests.engines.clips import RATE_HZ, Clip, asked, clips_of, recognised
from tests.golden.test_recordings import start_errors_s

MODEL = os.environ.get("ASR_QUEUE_GOLDEN_QWEN3")
ALIGNER = os.environ.get("ASR_QUEUE_GOLDEN_QWEN3_ALIGNER")
LANGUAGES = ("en", "es", "fr", "it", "ru")
MOST_WRONG = 0.05
MOST_LANGUAGES_WRONG = 2
MOST_MEAN_START_ERROR_S = 0.12
MOST_START_ERROR_S = 0.5

pytestmark = [
    pytest.mark.skipif(MODEL is None, reason="no Qwen3-ASR here: ASR_QUEUE_GOLDEN_QWEN3 names none"),
    pytest.mark.timeout(3600),
]
needs_aligner = pytest.mark.skipif(ALIGNER is None, reason="no aligner here: ASR_QUEUE_GOLDEN_QWEN3_ALIGNER names none")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeechEngine]:
    settings = EngineSettings(
        cache_dir=tmp_path_factory.mktemp("cache"), model=MODEL, aligner=ALIGNER or "none", micro_batch=16
    )
    engine = create("qwen3-asr", settings)
    engine.load()
    yield engine
    engine.unload()


def in_micro_batches(engine: SpeechEngine, clips: list[Clip], *, hinted: bool, want_words: bool = False):
    for first in range(0, len(clips), 16):
        part = clips[first : first + 16]
        inputs = [asked(clip.samples, clip.language if hinted else None, want_words=want_words) for clip in part]
        yield from zip(part, recognised(engine, *inputs), strict=True)


@pytest.mark.parametrize("hinted", [False, True])
def test_the_word_error_rate_stays_within_its_tolerance(engine: SpeechEngine, hinted: bool) -> None:
    clips = sorted((c for language in LANGUAGES for c in clips_of(language)), key=lambda clip: clip.path.name[-9:])
    heard = list(in_micro_batches(engine, clips, hinted=hinted))
    for language in LANGUAGES:
        pairs = [(clip.text, one.text, language) for clip, one in heard if clip.language == language]
        assert word_error_rate(pairs) <= MOST_WRONG, language
    wrong = [(clip.path.name, one.language) for clip, one in heard if one.language != clip.language]
    assert len(wrong) <= (0 if hinted else MOST_LANGUAGES_WRONG), wrong
    assert not [clip.path.name for clip, one in heard if one.is_truncated or one.is_repetitive]


def test_a_long_recording_loses_no_sentence(engine: SpeechEngine) -> None:
    clips = [clip for clip in clips_of("en") if clip.seconds < 10]
    samples = np.concatenate([clip.samples for clip in clips] * 3)
    (one,) = recognised(engine, asked(samples, "en", want_words=False))
    text = " ".join([clip.text for clip in clips] * 3)
    assert samples.size > 60 * RATE_HZ
    assert word_error_rate([(text, one.text, "en")]) <= 2 * MOST_WRONG


def test_silence_has_no_text_even_where_a_language_is_given(engine: SpeechEngine) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 10 * RATE_HZ)
    for one in recognised(engine, asked(noise, "en", want_words=False), asked(noise, want_words=False)):
        assert one.text == ""


@needs_aligner
def test_words_begin_where_a_forced_alignment_has_them(engine: SpeechEngine) -> None:
    aligned = json.loads((Path(__file__).parent / "librivox_starts.json").read_text())
    clips = [clip for clip in clips_of("en") if clip.path.name in aligned]
    errors_s = []
    for clip, one in in_micro_batches(engine, clips, hinted=True, want_words=True):
        assert one.words is not None
        assert " ".join(word.text for word in one.words) == one.text
        assert all(word.start_s <= other.start_s for word, other in pairwise(one.words))
        errors_s += start_errors_s(aligned[clip.path.name], one.words)
    assert len(errors_s) >= 55
    assert mean(errors_s) <= MOST_MEAN_START_ERROR_S
    assert max(errors_s) <= MOST_START_ERROR_S
