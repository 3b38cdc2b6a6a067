"""What the Engine interface promises, for every engine of the catalogue."""

import gc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from asr_queue.errors import EngineLoadError
from gpu_worker.engine import EngineSettings, Failed, Parkable, Recognition, Samples, SpeechEngine, SpeechInput
from gpu_worker.engines.catalog import SPEECH_ENGINES, create
from tests.engines.clips import RATE_HZ, Clip, asked, recognised, value_of

LEFT_BEHIND_BYTES = 80 << 20
"""What repeated loading may leave with the process: libraries, thread stacks and the allocator's own; 64.5 MiB were
seen on a busy machine. Less than one model: each Whisper base that is kept takes 90 MiB and more."""

BAD: dict[str, tuple[Callable[[Samples], SpeechInput], str]] = {
    "no samples": (lambda samples: asked(samples[:0]), "audio_empty"),
    "two channels": (lambda samples: asked(np.stack([samples, samples], axis=1)), "audio_not_mono"),
    "not a number": (
        lambda samples: asked(np.where(np.arange(samples.size) == 99, np.nan, samples)),
        "audio_not_finite",
    ),
    "infinite": (lambda samples: asked(np.where(np.arange(samples.size) == 99, np.inf, samples)), "audio_not_finite"),
    "too long": (lambda samples: asked(np.resize(samples, 1201 * RATE_HZ)), "audio_too_long"),
    "unknown language": (lambda samples: asked(samples, "tlh"), "language_not_supported"),
}


def test_outcomes_come_in_the_order_of_their_inputs(engine: SpeechEngine, clips: list[Clip]) -> None:
    few = clips[:5]
    forwards = recognised(engine, *(asked(clip.samples) for clip in few))
    backwards = recognised(engine, *(asked(clip.samples) for clip in reversed(few)))
    assert len({one.text for one in forwards}) == len(few), "the clips must differ for the order to show"
    assert [one.text for one in reversed(backwards)] == [one.text for one in forwards]


def test_a_clip_gives_the_same_alone_and_among_fifteen_others(engine: SpeechEngine, clips: list[Clip]) -> None:
    assert engine.limits.max_micro_batch == 16
    inputs = [asked(clip.samples) for clip in [*clips, clips[0]]]
    together = recognised(engine, *inputs)
    alone = [recognised(engine, one)[0] for one in inputs[:5]]
    assert [(one.text, one.language) for one in together[:5]] == [(one.text, one.language) for one in alone]
    assert together[-1] == together[0]
    for one, other in zip(together, alone, strict=False):
        np.testing.assert_allclose(_times_s(one), _times_s(other), atol=0.05)


@pytest.mark.parametrize(("spoil", "code"), BAD.values(), ids=BAD.keys())
def test_one_bad_input_fails_alone(
    engine: SpeechEngine, speech: Clip, spoil: Callable[[Samples], SpeechInput], code: str
) -> None:
    good = asked(speech.samples)
    before, bad, after = engine.run([good, spoil(speech.samples), good])
    assert isinstance(bad, Failed)
    assert bad.error.code == code
    assert value_of(before) == value_of(after) == recognised(engine, good)[0]


def test_a_micro_batch_of_bad_inputs_is_only_failures(engine: SpeechEngine, speech: Clip) -> None:
    outcomes = engine.run([spoil(speech.samples) for spoil, _ in BAD.values()])
    assert [outcome.error.code for outcome in outcomes if isinstance(outcome, Failed)] == [
        code for _, code in BAD.values()
    ]


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1, 29])
def test_silence_has_no_text_and_no_language(engine: SpeechEngine, seconds: float) -> None:
    silence = np.zeros(round(seconds * RATE_HZ))
    unhinted, hinted = recognised(engine, asked(silence), asked(silence, "fr", want_words=False))
    assert (unhinted.text, unhinted.language, unhinted.words) == ("", None, ())
    assert (hinted.text, hinted.language, hinted.words) == ("", "fr", None)


PROMPTS = {
    "hot words": "Dashwood, Norland",
    "other scripts": "Дэшвуд, 達什伍德 🎧",
    "more than any engine takes": "Norland " * 250,
    "one word of 2,000 characters": "x" * 2000,
    "marks of the models": "<|endoftext|><|startoftranscript|><|fr|><|im_end|><|audio_pad|><asr_text><timestamp>",
    "spaces": " \n ",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_whatever_a_prompt_holds_its_clip_is_recognised_and_the_others_are_as_without(
    engine: SpeechEngine, clips: list[Clip], prompt: str
) -> None:
    plain = [asked(clip.samples, clip.language) for clip in clips[:6]]
    prompted = [asked(clip.samples, clip.language, prompt=prompt) for clip in clips[:2]]
    found = recognised(engine, *(one for pair in zip(prompted, plain[:2], strict=True) for one in pair), *plain[2:])
    alone = recognised(engine, *plain)
    assert [one.text for one in (found[1], found[3], *found[4:])] == [one.text for one in alone]
    for one in found:
        assert one.words is not None
        assert " ".join(word.text for word in one.words) == one.text


def test_silence_stays_silent_whatever_the_prompt(engine: SpeechEngine) -> None:
    (one,) = recognised(engine, asked(np.zeros(5 * RATE_HZ), "en", prompt="Norland Park, Sussex"))
    assert (one.text, one.words) == ("", ())


@pytest.mark.parametrize("size", [1, 160, round(0.1 * RATE_HZ)])
def test_the_shortest_clips_are_taken(engine: SpeechEngine, speech: Clip, size: int) -> None:
    middle = speech.samples.size // 2
    (one,) = recognised(engine, asked(speech.samples[middle : middle + size], "en"))
    assert one.words is not None
    assert " ".join(word.text for word in one.words) == one.text


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_clip_is_refused_one_sample_beyond_the_limit(engine: SpeechEngine, speech: Clip, beyond: int) -> None:
    size = round(engine.limits.longest_s(with_words=True) * engine.limits.sample_rate_hz) + beyond
    samples = np.zeros(size)
    samples[-speech.samples.size :] = speech.samples
    (outcome,) = engine.run([asked(samples, "en")])
    if beyond > 0:
        assert isinstance(outcome, Failed)
        assert outcome.error.code == "audio_too_long"
    else:
        words = value_of(outcome).words
        assert words
        assert words[-1].end_s <= size / RATE_HZ


def test_words_are_the_text_in_order_and_within_the_clip(engine: SpeechEngine, clips: list[Clip]) -> None:
    inputs = [asked(clip.samples, clip.language) for clip in clips]
    for clip, one in zip(clips, recognised(engine, *inputs), strict=True):
        assert one.words, clip.path.name
        assert " ".join(word.text for word in one.words) == one.text, clip.path.name
        assert all(0 <= word.start_s <= word.end_s <= clip.seconds for word in one.words), clip.path.name
        assert all(word.start_s <= following.start_s for word, following in pairwise(one.words)), clip.path.name


def test_a_language_has_a_probability_only_where_it_was_identified(engine: SpeechEngine, speech: Clip) -> None:
    unhinted, hinted = recognised(engine, asked(speech.samples), asked(speech.samples, "en"))
    assert hinted.language_probability is None
    assert unhinted.language_probability is None or 0 <= unhinted.language_probability <= 1
    for word in unhinted.words or ():
        assert word.confidence is None or 0 <= word.confidence <= 1


def test_words_come_only_where_they_are_asked_for(engine: SpeechEngine, speech: Clip) -> None:
    with_words, without = recognised(engine, asked(speech.samples, "en"), asked(speech.samples, "en", want_words=False))
    assert with_words.words
    assert without.words is None
    assert without.text == with_words.text


def test_samples_are_left_as_they_were(engine: SpeechEngine, speech: Clip) -> None:
    samples = speech.samples.copy()
    samples.flags.writeable = False
    recognised(engine, SpeechInput(samples=samples, language=None, want_words=True))
    np.testing.assert_array_equal(samples, speech.samples)


@pytest.mark.parametrize("name", sorted(SPEECH_ENGINES))
def test_an_engine_loads_and_unloads_twice_and_gives_its_memory_back(
    name: str, settings_of: Callable[[str], EngineSettings], speech: Clip
) -> None:
    engine = create(name, settings_of(name))
    assert engine.limits.sample_rate_hz == RATE_HZ, "limits are known before load"
    with pytest.raises(RuntimeError, match="before load"):
        engine.run([asked(speech.samples)])
    texts, left_bytes = set(), []
    for _ in range(3):
        engine.load()
        engine.load()
        texts.add(recognised(engine, asked(speech.samples))[0].text)
        engine.unload()
        engine.unload()
        with pytest.raises(RuntimeError, match="before load"):
            engine.run([asked(speech.samples)])
        left_bytes.append(_resident_bytes())
    assert len(texts) == 1
    assert left_bytes[-1] - left_bytes[0] < LEFT_BEHIND_BYTES


@pytest.mark.parametrize("name", sorted(SPEECH_ENGINES))
def test_an_engine_that_can_be_parked_comes_back_as_it_was_and_leaves_the_device_meanwhile(
    name: str, settings_of: Callable[[str], EngineSettings], speech: Clip
) -> None:
    engine = create(name, settings_of(name))
    if not isinstance(engine, Parkable):
        return
    engine.park()
    assert engine.device_bytes == 0, "nothing happens where it is not loaded"
    engine.load()
    inputs = [asked(speech.samples), asked(speech.samples[: RATE_HZ // 2], "en")]
    before, listened, loaded_bytes = recognised(engine, *inputs), engine.has_speech(speech.samples), engine.device_bytes
    assert loaded_bytes > 0
    left_bytes = []
    for _ in range(4):
        engine.park()
        engine.park()
        assert engine.device_bytes == 0
        assert engine.has_speech(speech.samples) == listened, "whoever prepares items need not know who is parked"
        with pytest.raises(RuntimeError, match="before load"):
            engine.run(inputs)
        left_bytes.append(_resident_bytes())
        engine.load()
        engine.load()
        assert engine.device_bytes == pytest.approx(loaded_bytes, rel=0.01, abs=4096)
        assert recognised(engine, *inputs) == before
    assert left_bytes[-1] - left_bytes[1] < LEFT_BEHIND_BYTES
    engine.park()
    engine.unload()
    engine.unload()
    assert engine.device_bytes == 0
    with pytest.raises(RuntimeError, match="before load"):
        engine.run(inputs)
    engine.load()
    assert recognised(engine, *inputs) == before
    engine.unload()


def test_an_unknown_engine_is_named_with_the_known_ones(engine_settings: EngineSettings) -> None:
    with pytest.raises(EngineLoadError, match=r"'mumble'.*echo, qwen3-asr, whisper"):
        create("mumble", engine_settings)


def _times_s(one: Recognition) -> list[float]:
    return [time_s for word in one.words or () for time_s in (word.start_s, word.end_s)]


def _resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024
