"""Who needs PyTorch: this engine, Pocket TTS and what they share, and nobody else. In processes that are without it."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

_WITHOUT = """
import sys
for name in ("torch", "transformers", "safetensors"):
    sys.modules[name] = None
"""
_EVERYTHING_ELSE = """
import pkgutil, importlib, warnings
warnings.simplefilter("error")
import asr_queue, handlers, gpu_worker
count = 0
for package in (asr_queue, handlers, gpu_worker):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not any(part in module.name for part in ("qwen3", "pocket", "pytorch", "__main__")):
            importlib.import_module(module.name)
            count += 1
print(count)
"""
_ENGINES = """
from pathlib import Path
import numpy as np
from gpu_worker.engine import EngineSettings, SpeechInput
from gpu_worker.engines.catalog import create
from asr_queue.errors import EngineLoadError
settings = EngineSettings(cache_dir=Path(sys.argv[1]), threads=1)
for name in ("whisper", "echo"):
    engine = create(name, settings)
    engine.load()
    engine.run([SpeechInput(samples=np.zeros(16000, np.float32), language=None, want_words=True)])
    engine.unload()
try:
    create("qwen3-asr", settings)
except EngineLoadError as error:
    print(error)
"""


def without_torch(code: str, *arguments: str | Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT + code, *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        env={"AWS_DEFAULT_REGION": "us-east-1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_everything_but_this_engine_is_imported_without_it() -> None:
    assert int(without_torch(_EVERYTHING_ELSE)) > 150


def test_the_other_engines_run_without_it_and_this_one_is_refused_by_name(tmp_path: Path) -> None:
    told = without_torch(_ENGINES, tmp_path)
    assert "'qwen3-asr' needs a package that is not installed" in told
    assert "torch" in told


@pytest.mark.parametrize("extra", ["client", "aws", "api", "worker", "whisper", "local"])
def test_no_other_extra_asks_for_it(extra: str) -> None:
    asked = {one.name for one in map(Requirement, requires("asr-queue") or ()) if _is_of(one, extra)}
    assert asked, "the extra exists"
    assert not asked & {"torch", "transformers"}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_extra_pins_what_it_was_written_against(python: str) -> None:
    asked = {
        one.name: str(one.specifier)
        for one in map(Requirement, requires("asr-queue") or ())
        if _is_of(one, "qwen3", python_version=python)
    }
    assert asked["torch"] == "==2.13.*"
    assert asked["transformers"] == "<6,>=5.13"


def _is_of(one: Requirement, extra: str, **environment: str) -> bool:
    return (
        one.marker is not None and "extra" in str(one.marker) and one.marker.evaluate({"extra": extra, **environment})
    )
