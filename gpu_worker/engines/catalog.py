"""Engines by name. Modules are named as strings, so that importing the catalogue loads no model library."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from asr_queue.errors import EngineLoadError
from gpu_worker.engine import EngineSettings, Samples, SpeechEngine, VoiceEngine

SPEECH_ENGINES: Final = {
    "echo": "gpu_worker.engines.echo:EchoEngine",
    "qwen3-asr": "gpu_worker.engines.qwen3_asr:Qwen3AsrEngine",
    "whisper": "gpu_worker.engines.whisper_cpu:WhisperCpuEngine",
}
"""`module:Class` of the engines for `transcribe`, by name; each class takes an `EngineSettings`."""

VOICE_ENGINES: Final = {
    "echo": "gpu_worker.engines.echo_voice:EchoVoiceEngine",
    "pocket-tts": "gpu_worker.engines.pocket_tts:PocketTtsEngine",
    "qwen3-tts": "gpu_worker.engines.qwen3_tts:Qwen3TtsEngine",
}
"""Those of the engines for `voice_clone`."""


def create(name: str, settings: EngineSettings) -> SpeechEngine:
    """Return the named speech engine, not yet loaded; its libraries are imported no earlier than here.

    Raises:
        EngineLoadError: no engine has this name, or a library that it needs is not installed.
    """
    engine: SpeechEngine = _class_of(name, SPEECH_ENGINES)(settings)
    return engine


def create_voice(name: str, settings: EngineSettings) -> VoiceEngine:
    """Return the named voice engine, as `create` does.

    Raises:
        EngineLoadError: as there.
    """
    engine: VoiceEngine = _class_of(name, VOICE_ENGINES)(settings)
    return engine


def hearing() -> Callable[[Samples], bool]:
    """Return what tells speech from other sounds at 16 kHz, for the samples of voices; safe to call from any thread.

    Raises:
        EngineLoadError: its library is not installed.
    """
    try:
        finder: Any = import_module("gpu_worker.engines.speech").SpeechFinder()
    except ImportError as error:
        raise EngineLoadError(f"Samples of voices are checked by a package that is not installed: {error}.") from error
    hears: Callable[[Samples], bool] = finder.hears
    return hears


def _class_of(name: str, catalog: Mapping[str, str]) -> Any:
    try:
        module_name, _, class_name = catalog[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(catalog))
        raise EngineLoadError(f"There is no engine named {name!r}; known are: {known}.") from None
    try:
        return getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise EngineLoadError(f"Engine {name!r} needs a package that is not installed: {error}.") from error
