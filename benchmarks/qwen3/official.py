"""The authors' package `qwen-asr`, for a process that has its folder in PYTHONPATH."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parents[2] / ".qwen-asr"
"""Where `make` puts the package; official-requirements.txt says what is in it."""
_NOT_NEEDED = ("librosa", "nagisa", "soundfile")
"""Imported by the package for files, for other sampling rates and for Japanese."""


def environment() -> dict[str, str]:
    """Return the environment of a process in which `package` works.

    Raises:
        FileNotFoundError: `FOLDER` is not there.
    """
    if not (FOLDER / "qwen_asr").is_dir():
        raise FileNotFoundError(f"no qwen-asr in {FOLDER}; `make test` puts it there")
    return {**os.environ, "PYTHONPATH": str(FOLDER)}  # noqa: TID251 - handed on, not read


def package() -> Any:
    """Return the module `qwen_asr`; what is not installed of that which nothing here needs, is stood in for."""
    # Before, transformers would find the stand-ins, take the real ones for installed and fail.
    import transformers  # noqa: F401

    for name in _NOT_NEEDED:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = ModuleType(name)
    import qwen_asr

    return qwen_asr
