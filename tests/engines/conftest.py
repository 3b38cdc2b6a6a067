"""Loaded engines, weights that are put together once a session, and real clips."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings, SpeechEngine
from gpu_worker.engines.catalog import SPEECH_ENGINES, create
from tests.engines.clips import Clip, clips_of


@pytest.fixture(scope="session")
def engine_settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    return EngineSettings(cache_dir=tmp_path_factory.mktemp("weights"), threads=2)


@pytest.fixture(scope="session")
def settings_of(
    engine_settings: EngineSettings, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], EngineSettings]:
    """Return what an engine of the catalogue is to be made from: small weights, where its own are not at hand."""

    @cache
    def settings_of(name: str) -> EngineSettings:
        if name != "qwen3-asr":
            return engine_settings
        from tests.engines.qwen3 import tiny

        return replace(
            engine_settings,
            model=str(tiny.save_speaker(tmp_path_factory.mktemp("qwen3-asr"))),
            aligner=str(tiny.save_aligner(tmp_path_factory.mktemp("qwen3-aligner"))),
            device="cpu",
            threads=1,
        )

    return settings_of


@pytest.fixture(scope="session", params=sorted(SPEECH_ENGINES))
def engine(request: pytest.FixtureRequest, settings_of: Callable[[str], EngineSettings]) -> Iterator[SpeechEngine]:
    """Every engine of the catalogue in turn, loaded."""
    engine = create(request.param, settings_of(request.param))
    engine.load()
    yield engine
    engine.unload()


@pytest.fixture(scope="session")
def whisper(engine_settings: EngineSettings) -> Iterator[SpeechEngine]:
    engine = create("whisper", engine_settings)
    engine.load()
    yield engine
    engine.unload()


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Three recordings of each language, the languages in turn."""
    by_language = [clips_of(language)[:3] for language in ("en", "es", "fr", "it", "ru")]
    return [clip for turn in zip(*by_language, strict=True) for clip in turn]


@pytest.fixture
def speech(clips: list[Clip]) -> Clip:
    """3 s of English."""
    assert clips[0].path == Path(__file__).parents[1] / "recordings" / "librivox-0880.flac"
    return clips[0]
