"""Tiny checkpoints, made once a session: read, never changed by a test."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings
from tests.engines.qwen3_tts.environment import interpreter, save_tiny


@pytest.fixture(scope="session")
def tiny_tts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a tiny checkpoint, by what tiny.py is told."""
    return cache(lambda *how: save_tiny(tmp_path_factory.mktemp("qwen3-tts"), *how))


@pytest.fixture(scope="session")
def tts_settings(
    tiny_tts: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., EngineSettings]:
    """Return what an engine of such a checkpoint is made from."""

    def tts_settings(*how: str) -> EngineSettings:
        return EngineSettings(
            cache_dir=tmp_path_factory.mktemp("cache"),
            model=str(tiny_tts(*how)),
            device="cpu",
            threads=1,
            python=interpreter(),
        )

    return tts_settings
