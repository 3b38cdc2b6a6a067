"""The tiny models, made once a session: read, never changed by a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import (
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)

from gpu_worker.engine import EngineSettings
from tests.engines.qwen3 import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other inside tiny operations take twenty times as long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_asr() -> Qwen3ASRForConditionalGeneration:
    return tiny.asr_model()


@pytest.fixture(scope="session")
def tiny_aligner() -> Qwen3ASRForTokenClassification:
    return tiny.aligner_model()


@pytest.fixture(scope="session")
def tiny_processor() -> Qwen3ASRProcessor:
    return tiny.processor()


@pytest.fixture(scope="session")
def tiny_asr_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in transformers' layout."""
    return tiny.save_asr(tmp_path_factory.mktemp("qwen3-asr"))


@pytest.fixture(scope="session")
def tiny_aligner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_aligner(tmp_path_factory.mktemp("qwen3-aligner"))


@pytest.fixture(scope="session")
def settings(tiny_aligner_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    """Of an engine whose model writes text."""
    return EngineSettings(
        cache_dir=tmp_path_factory.mktemp("cache"),
        model=str(tiny.save_speaker(tmp_path_factory.mktemp("speaker"))),
        aligner=str(tiny_aligner_folder),
        device="cpu",
    )
