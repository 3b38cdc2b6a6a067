"""What the Engine interface promises of voices, for the engines of the catalogue that live in the worker's process.

Qwen3-TTS, which has a process of its own, is tried in qwen3_tts/.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.engine import Done, EngineSettings, Failed, Parkable, Speech, VoiceEngine, VoiceInput
from gpu_worker.engines.catalog import create_voice
from tests.engines.pocket import tiny
from tests.engines.pocket.tiny import asked, voice

ENGINES = ["echo", "pocket-tts"]
LEFT_BEHIND_BYTES = 16 << 20
"""What repeated loading may leave with the process: the allocator's own."""
TEXTS = ["One.", "Two and a bit.", "The third of them is by far the longest of all."]
BAD: dict[str, tuple[VoiceInput, str]] = {
    "nothing to say": (asked("?! …", voice()), "text_empty"),
    "far too long": (asked("a" * 301, voice()), "text_too_long"),
    "unknown language": (asked("One.", voice(), "tlh"), "language_not_supported"),
    "a voice that is too short": (asked("One.", voice(seconds=0.5)), "voice_too_short"),
    "a voice that is no numbers": (
        asked("One.", replace(voice(9), samples=np.full(72_000, np.nan, dtype=np.float32))),
        "audio_not_finite",
    ),
}


@pytest.fixture(scope="module")
def settings_of(
    engine_settings: EngineSettings, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], EngineSettings]:
    """Return what an engine is to be made from: small weights, where it has any."""

    @cache
    def settings_of(name: str) -> EngineSettings:
        if name != "pocket-tts":
            return engine_settings
        folder = tiny.save(tmp_path_factory.mktemp("pocket-tts"))
        return replace(engine_settings, model=str(folder), device="cpu", threads=1)

    return settings_of


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, settings_of: Callable[[str], EngineSettings]) -> Iterator[VoiceEngine]:
    """Each in turn, loaded."""
    engine = create_voice(request.param, settings_of(request.param))
    engine.load()
    yield engine
    engine.unload()


def said(engine: VoiceEngine, *inputs: VoiceInput) -> list[Speech]:
    outcomes = engine.run(list(inputs))
    assert all(isinstance(one, Done) for one in outcomes), outcomes
    return [one.value for one in outcomes if isinstance(one, Done)]


def assert_alike(one: Speech, other: Speech) -> None:
    np.testing.assert_allclose(one.samples, other.samples, atol=1e-4)


def test_outcomes_come_in_the_order_of_their_inputs(engine: VoiceEngine) -> None:
    inputs = [asked(text, voice(i)) for i, text in enumerate(TEXTS)]
    forwards, backwards = said(engine, *inputs), said(engine, *reversed(inputs))
    assert len({one.samples.tobytes() for one in forwards}) == len(TEXTS), "they must differ for the order to show"
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert_alike(one, other)


def test_a_whole_micro_batch_says_what_each_says_alone(engine: VoiceEngine) -> None:
    inputs = [asked(TEXTS[i % 3], voice(i % 2)) for i in range(engine.limits.max_micro_batch)]
    together = said(engine, *inputs)
    assert len(together) == len(inputs) == 16
    for one, other in zip(together[:6], inputs[:6], strict=True):
        assert_alike(one, said(engine, other)[0])


@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD.keys())
def test_one_bad_input_fails_alone(engine: VoiceEngine, bad: VoiceInput, code: str) -> None:
    good = asked(TEXTS[0], voice())
    before, failed, after = engine.run([good, bad, good])
    assert isinstance(failed, Failed)
    assert failed.error.code == code
    assert isinstance(before, Done)
    assert isinstance(after, Done)
    assert_alike(before.value, said(engine, good)[0])
    assert_alike(after.value, before.value)


def test_a_micro_batch_of_bad_inputs_is_only_failures(engine: VoiceEngine) -> None:
    outcomes = engine.run([bad for bad, _ in BAD.values()])
    assert [one.error.code for one in outcomes if isinstance(one, Failed)] == [code for _, code in BAD.values()]


def test_speech_is_finite_within_bounds_and_of_a_plausible_length(engine: VoiceEngine) -> None:
    assert engine.limits.speech_rate_hz == 24_000
    for text, one in zip(TEXTS, said(engine, *(asked(text, voice()) for text in TEXTS)), strict=True):
        assert one.samples.dtype == np.float32
        assert one.samples.ndim == 1
        assert np.isfinite(one.samples).all()
        assert 0.05 < np.abs(one.samples).max() <= 1
        assert 0.2 <= one.samples.size / engine.limits.speech_rate_hz <= 3 + 0.4 * len(text)


def test_samples_of_a_voice_are_left_as_they_were(engine: VoiceEngine) -> None:
    spoken = voice(50)
    spoken.samples.flags.writeable = False
    before = spoken.samples.copy()
    said(engine, asked(TEXTS[0], spoken))
    np.testing.assert_array_equal(spoken.samples, before)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_loads_and_unloads_again_and_gives_its_memory_back(
    name: str, settings_of: Callable[[str], EngineSettings]
) -> None:
    engine = create_voice(name, settings_of(name))
    assert engine.limits.speech_rate_hz == 24_000, "limits are known before load"
    inputs = [asked(text, voice()) for text in TEXTS]
    with pytest.raises(RuntimeError, match="before load"):
        engine.run(inputs)
    spoken, left_bytes = [], []
    for _ in range(4):
        engine.load()
        engine.load()
        spoken.append(said(engine, *inputs))
        engine.unload()
        engine.unload()
        with pytest.raises(RuntimeError, match="before load"):
            engine.run(inputs)
        left_bytes.append(_resident_bytes())
    for one, *others in zip(*spoken, strict=True):
        for other in others:
            np.testing.assert_array_equal(one.samples, other.samples)
    assert left_bytes[-1] - left_bytes[0] < LEFT_BEHIND_BYTES


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_can_be_parked_comes_back_as_it_was_and_leaves_the_device_meanwhile(
    name: str, settings_of: Callable[[str], EngineSettings]
) -> None:
    engine = create_voice(name, settings_of(name))
    if not isinstance(engine, Parkable):
        return
    engine.park()
    assert engine.device_bytes == 0, "nothing happens where it is not loaded"
    engine.load()
    inputs = [asked(text, voice()) for text in TEXTS]
    before, loaded_bytes, left_bytes = said(engine, *inputs), engine.device_bytes, []
    assert loaded_bytes > 0
    for _ in range(4):
        engine.park()
        engine.park()
        assert engine.device_bytes == 0
        with pytest.raises(RuntimeError, match="before load"):
            engine.run(inputs)
        engine.load()
        assert engine.device_bytes == loaded_bytes
        for one, other in zip(said(engine, *inputs), before, strict=True):
            np.testing.assert_array_equal(one.samples, other.samples)
        left_bytes.append(_resident_bytes())
    engine.park()
    engine.unload()
    assert engine.device_bytes == 0
    assert left_bytes[-1] - left_bytes[0] < LEFT_BEHIND_BYTES


def _resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024
