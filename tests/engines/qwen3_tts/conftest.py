"""The package's environment, and tiny checkpoints that are made in it once a session."""

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gpu_worker.engine import EngineSettings

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".qwen-tts" / "bin" / "python"


@pytest.fixture(scope="session")
def voice_python() -> Path:
    """The interpreter that has qwen-tts."""
    if not PYTHON.exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"no qwen-tts in {PYTHON}; `make test` puts it there")
    return PYTHON


@pytest.fixture(scope="session")
def in_the_environment(voice_python: Path) -> Callable[..., None]:
    """Run one of the programs of this folder under that interpreter."""

    def run(program: str, *arguments: object) -> None:
        command = [voice_python, "-I", Path(__file__).with_name(program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="session")
def tiny_tts(in_the_environment: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a tiny checkpoint, by what tiny.py is told."""

    @cache
    def tiny_tts(*how: str) -> Path:
        folder = tmp_path_factory.mktemp("qwen3-tts")
        in_the_environment("tiny.py", folder, *how)
        return folder

    return tiny_tts


@pytest.fixture(scope="session")
def tts_settings(
    voice_python: Path, tiny_tts: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., EngineSettings]:
    """Return what an engine of such a checkpoint is made from."""

    def tts_settings(*how: str) -> EngineSettings:
        return EngineSettings(
            cache_dir=tmp_path_factory.mktemp("cache"),
            model=str(tiny_tts(*how)),
            device="cpu",
            threads=1,
            python=voice_python,
        )

    return tts_settings
