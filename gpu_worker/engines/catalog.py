"""Engines by name. Modules are named as strings, so that importing the catalogue loads no model library."""

from importlib import import_module
from typing import Final

from asr_queue.errors import EngineLoadError
from gpu_worker.engine import EngineSettings, SpeechEngine

SPEECH_ENGINES: Final = {
    "echo": "gpu_worker.engines.echo:EchoEngine",
    "qwen3-asr": "gpu_worker.engines.qwen3_asr:Qwen3AsrEngine",
    "whisper": "gpu_worker.engines.whisper_cpu:WhisperCpuEngine",
}
"""`module:Class` by engine name; each class takes an `EngineSettings`."""


def create(name: str, settings: EngineSettings) -> SpeechEngine:
    """Return the named engine, not yet loaded; its libraries are imported no earlier than here.

    Raises:
        EngineLoadError: no engine has this name, or a library that it needs is not installed.
    """
    try:
        module_name, _, class_name = SPEECH_ENGINES[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(SPEECH_ENGINES))
        raise EngineLoadError(f"There is no engine named {name!r}; known are: {known}.") from None
    try:
        engine_class = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise EngineLoadError(f"Engine {name!r} needs a package that is not installed: {error}.") from error
    engine: SpeechEngine = engine_class(settings)
    return engine
