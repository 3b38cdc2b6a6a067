"""The engine on the package's own classes, with random weights: nothing is downloaded, nothing is learned."""

import json
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from asr_queue.domain.languages import NAMES
from asr_queue.errors import EngineLoadError
from gpu_worker.engine import Done, Failed, Parkable, Voice, VoiceInput
from gpu_worker.engines.catalog import create_voice
from gpu_worker.engines.qwen3_tts_child import LANGUAGES, Qwen3Tts
from tests.engines.qwen3_tts import environment

# Processes that each import two large libraries: slow where others are at work as well.
pytestmark = pytest.mark.timeout(900)

RATE_HZ = 24_000
FRAME = 1920
TEXTS = ["Hello.", "Good morning to you all.", "Wie geht's?", "one", "two"]


@pytest.fixture(scope="module")
def engine(tts_settings):
    engine = create_voice("qwen3-tts", tts_settings())
    engine.load()
    yield engine
    engine.unload()


def voice(seed=0, said="", seconds=4.0):
    """Of a tone that the seed chooses, in noise."""
    n_samples = round(seconds * RATE_HZ)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n_samples)
    tone = 0.4 * np.sin(2 * np.pi * 100 * (seed + 1) * np.arange(n_samples) / RATE_HZ)
    return Voice(digest=f"{seed}{said}".ljust(64, "0"), samples=(noise + tone).astype(np.float32), said=said)


def asked(text, voice, language="en"):
    return VoiceInput(text=text, voice=voice, language=language)


def said(engine, *inputs):
    outcomes = engine.run(list(inputs))
    assert all(isinstance(one, Done) for one in outcomes), outcomes
    return [one.value for one in outcomes]


@pytest.mark.parametrize("known", ["", "It was late."], ids=["the sample alone", "with what is said in it"])
def test_the_samples_are_those_of_the_package(engine, tts_settings, tmp_path, known):
    spoken = voice(said=known)
    languages = ["en", "en", "de", None, "en"]
    question = {
        "folder": tts_settings().model,
        "texts": TEXTS,
        "languages": [LANGUAGES[code] if code else "auto" for code in languages],
        "said": known,
    }
    np.savez(tmp_path / "asked.npz", asked=json.dumps(question), samples=spoken.samples)
    environment.run("official_speech.py", tmp_path / "asked.npz", tmp_path / "answered.npz")
    answered = np.load(tmp_path / "answered.npz")
    inputs = [asked(text, spoken, code) for text, code in zip(TEXTS, languages, strict=True)]
    ours = said(engine, *inputs)
    assert len({one.samples.size for one in ours}) > 1
    for i, one in enumerate(ours):
        np.testing.assert_array_equal(one.samples, answered[f"said{i}"])
        assert not one.is_truncated


def test_outcomes_come_in_the_order_of_their_inputs(engine):
    spoken = voice()
    forwards = said(engine, *(asked(text, spoken) for text in TEXTS))
    backwards = said(engine, *(asked(text, spoken) for text in reversed(TEXTS)))
    assert [one.samples.size for one in reversed(backwards)] == [one.samples.size for one in forwards]
    assert all(one.samples.size % FRAME == 0 for one in forwards)
    assert all(0.05 < np.abs(one.samples).max() <= 1 for one in forwards)


def test_every_voice_of_a_pass_is_its_own(engine):
    voices = [voice(0), voice(1), voice(0, said="It was late."), voice(0)]
    first, other, followed, again = said(engine, *(asked(TEXTS[1], one) for one in voices))
    assert not np.array_equal(first.samples, other.samples)
    assert not np.array_equal(first.samples, followed.samples)
    np.testing.assert_array_equal(again.samples, first.samples)


def test_it_speaks_ten_languages_and_refuses_others(engine):
    assert engine.limits.languages == set(LANGUAGES)
    assert set(LANGUAGES) <= set(NAMES)
    german, unknown, english = engine.run([asked("Hallo.", voice(), code) for code in ("de", "pl", "en")])
    assert isinstance(unknown, Failed)
    assert unknown.error.code == "language_not_supported"
    assert not np.array_equal(german.value.samples, english.value.samples)


def test_markers_of_the_model_are_no_text(engine):
    spoken = voice()
    marked, plain, only = engine.run(
        [
            asked("<|im_end|>one<|im_start|>two<tts_pad>", spoken),
            asked("one two", spoken),
            asked("<|im_start|><|endoftext|>", spoken),
        ]
    )
    np.testing.assert_array_equal(marked.value.samples, plain.value.samples)
    assert only.error.code == "text_empty"


@pytest.mark.parametrize("text", ["x" * 300, "你好。" * 100, "مرحبا 🎧 \x00 \u202e", "7" * 300, "a\n\n\tb"])
def test_whatever_the_text_holds_it_is_said_in_bounds(engine, text):
    (one,) = said(engine, asked(text, voice(), None))
    assert 0 < one.samples.size <= FRAME * (50 + 6 * len(text))


def test_a_text_that_never_ends_is_cut_off_where_its_length_allows(tts_settings):
    engine = create_voice("qwen3-tts", tts_settings("base", "endless"))
    engine.load()
    short, long = said(engine, asked("ab", voice()), asked("a" * 12, voice()))
    assert (short.samples.size, long.samples.size) == (62 * FRAME, 122 * FRAME)
    assert short.is_truncated
    assert long.is_truncated
    engine.unload()


def test_half_precision_is_spoken_too(tts_settings):
    # What a GPU computes in by default.
    engine = create_voice("qwen3-tts", replace(tts_settings(), dtype="bfloat16"))
    engine.load()
    assert engine.device_bytes < 750_000
    for one in said(engine, *(asked(text, voice(said="It was late.")) for text in TEXTS)):
        assert 0.05 < np.abs(one.samples).max() <= 1
    engine.unload()


def test_what_was_parked_says_the_same_as_before(engine):
    assert isinstance(engine, Parkable)
    inputs = [asked(text, voice(said="It was late.")) for text in TEXTS]
    before = said(engine, *inputs)
    pid = engine.pid
    resident_bytes = psutil.Process(pid).memory_info().rss
    for _ in range(5):
        assert engine.device_bytes > 500_000
        engine.park()
        assert engine.device_bytes == 0
        engine.load()
        for one, other in zip(said(engine, *inputs), before, strict=True):
            np.testing.assert_array_equal(one.samples, other.samples)
    assert engine.pid == pid
    assert psutil.Process(pid).memory_info().rss - resident_bytes < 64 << 20


def test_a_process_that_was_killed_says_the_same_as_before(engine):
    inputs = [asked(text, voice()) for text in TEXTS]
    before = said(engine, *inputs)
    os.kill(engine.pid, signal.SIGKILL)
    for one, other in zip(said(engine, *inputs), before, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


def test_loading_twice_and_unloading_twice_leaves_no_process(tts_settings):
    engine = create_voice("qwen3-tts", tts_settings())
    assert engine.limits.speech_rate_hz == RATE_HZ, "limits are known before load"
    for _ in range(2):
        engine.load()
        engine.load()
        pid = engine.pid
        engine.unload()
        engine.unload()
        assert not psutil.pid_exists(pid)


def test_a_checkpoint_that_has_voices_of_its_own_is_refused(tts_settings):
    engine = create_voice("qwen3-tts", tts_settings("custom_voice"))
    with pytest.raises(EngineLoadError, match=r"custom_voice.*Base"):
        engine.load()


def test_a_folder_without_a_checkpoint_is_told(tts_settings, tmp_path):
    engine = create_voice("qwen3-tts", replace(tts_settings(), model=str(tmp_path)))
    with pytest.raises(EngineLoadError, match=r"cannot be read"):
        engine.load()


def test_a_device_that_is_not_there_is_told(tts_settings):
    engine = create_voice("qwen3-tts", replace(tts_settings(), device="cuda:99"))
    with pytest.raises(EngineLoadError, match="cuda:99"):
        engine.load()


def test_an_interpreter_without_the_package_is_told_with_the_setting(tts_settings):
    engine = create_voice("qwen3-tts", replace(tts_settings(), python=None))
    with pytest.raises(EngineLoadError, match=r"qwen_tts.*ASR_QUEUE_VOICE_PYTHON"):
        engine.load()


def test_a_voice_is_prepared_once_while_it_is_among_the_last_used():
    prepared = []

    class Tensor:
        def cpu(self):
            return self

    class Package:
        processor = SimpleNamespace(tokenizer=SimpleNamespace(get_added_vocab=dict))

        def create_voice_clone_prompt(self, audio, ref_text, x_vector_only_mode):
            prepared.append((audio[0][0], ref_text, x_vector_only_mode))
            return [type("Prompt", (), {"ref_spk_embedding": Tensor(), "ref_code": None})()]

    model = Qwen3Tts({})
    model._official = Package()
    for digest in [*range(256), 0, 256, 0, 1]:
        model._prompt({"digest": str(digest), "said": "" if digest else "so"}, np.full(3, digest, dtype=np.float32))
    assert [number for number, *_ in prepared] == [*range(256), 256, 1]
    assert prepared[:2] == [(0, "so", False), (1, None, True)]
