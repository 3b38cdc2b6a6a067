"""The tiny models, made once a session: read, never changed by a test."""

from pathlib import Path

import pytest
from transformers import (
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)

from tests.engines.qwen3 import tiny


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
