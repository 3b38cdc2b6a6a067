"""The tiny checkpoints, made once a session: read, never changed by a test."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from gpu_worker.engine import EngineSettings
from gpu_worker.engines.pocket_tts import PocketTtsEngine
from tests.engines.pocket import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other inside tiny operations take twenty times as long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a tiny checkpoint, by what `tiny.save` is told."""
    return cache(lambda **how: tiny.save(tmp_path_factory.mktemp("pocket-tts"), **how))


@pytest.fixture(scope="session")
def settings(tiny_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    return EngineSettings(cache_dir=tmp_path_factory.mktemp("cache"), model=str(tiny_folder()), device="cpu", threads=1)


@pytest.fixture(scope="module")
def engine(settings: EngineSettings) -> Iterator[PocketTtsEngine]:
    engine = PocketTtsEngine(settings)
    engine.load()
    yield engine
    engine.unload()
