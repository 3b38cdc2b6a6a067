"""What Whisper adds to the interface: languages, silence, doubtful texts, and memory that runs out."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.engine import EngineSettings, Recognition, Samples, SpeechEngine
from gpu_worker.engines.whisper_decode import Decoder
from tests.engines.clips import RATE_HZ, Clip, asked, clips_of, recognised

SECONDS = 5
TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def _tone(hertz: float) -> Samples:
    return np.sin(2 * np.pi * hertz * TIME_S)


def _white(loudness: float) -> Samples:
    return np.random.default_rng(1).normal(0, loudness, TIME_S.size)


def _pink() -> Samples:
    spectrum = np.fft.rfft(_white(1.0))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, spectrum.size + 1)), TIME_S.size)
    return 0.5 * noise / np.abs(noise).max()


NOT_SPEECH: dict[str, Callable[[], Samples]] = {
    "faint noise": lambda: _white(0.003),
    "loud noise": lambda: _white(0.3),
    "pink noise": _pink,
    "mains hum": lambda: sum(_tone(50 * k) / k for k in range(1, 8)) / 10,
    "dial tone": lambda: 0.3 * _tone(425),
    "beeps": lambda: 0.3 * _tone(1000) * (TIME_S % 1 < 0.3),
    "touch tones": lambda: 0.2 * (_tone(770) + _tone(1336)) * (TIME_S % 0.5 < 0.2),
    "clicks": lambda: 0.9 * (np.arange(TIME_S.size) % 4000 == 0),
    "constant": lambda: np.full(TIME_S.size, 0.5),
}


@pytest.mark.parametrize("sound", NOT_SPEECH.values(), ids=NOT_SPEECH.keys())
def test_what_is_no_speech_yields_no_words(whisper: SpeechEngine, speech: Clip, sound: Callable[[], Samples]) -> None:
    noise, voice = recognised(whisper, asked(sound()), asked(speech.samples))
    assert (noise.text, noise.language, noise.words) == ("", None, ())
    assert "young man" in voice.text


def test_the_language_is_identified_clip_by_clip(whisper: SpeechEngine, clips: list[Clip]) -> None:
    found = recognised(whisper, *(asked(clip.samples, want_words=False) for clip in clips))
    assert [one.language for one in found] == [clip.language for clip in clips]


def test_a_hint_is_taken_as_given(whisper: SpeechEngine, speech: Clip) -> None:
    right, wrong = recognised(whisper, asked(speech.samples, "en"), asked(speech.samples, "it"))
    assert (right.language, wrong.language) == ("en", "it")
    assert "young man" in right.text
    assert wrong.text != right.text


def recording(name: str) -> Samples:
    (found,) = [clip.samples for clip in clips_of("en") if clip.path.stem == name]
    return found


@pytest.mark.parametrize(
    ("name", "without", "prompt", "prompted"),
    [
        ("asterisk-en-tt-weasels", "have even our phone", "eaten", "have eaten our phone"),
        ("librivox-0870", "John Dashwood had", "John Dashwoode", "John Dashwoode had"),
        ("librivox-0890", "rather cold-hearted", "cold hearted, ill disposed", "rather cold hearted"),
    ],
)
def test_a_hot_word_changes_how_a_recording_is_written(
    whisper: SpeechEngine, name: str, without: str, prompt: str, prompted: str
) -> None:
    samples = recording(name)
    plain, told = recognised(whisper, asked(samples, "en"), asked(samples, "en", prompt=prompt))
    assert without in plain.text
    assert prompted in told.text


def test_a_prompt_is_there_too_when_a_doubtful_clip_is_looked_at_again(
    whisper: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Decoder._draft
    doubt = {"is_sure": True, "is_doubtful": True}
    monkeypatch.setattr(Decoder, "_draft", lambda *arguments: replace(inside(*arguments), **doubt))
    samples = recording("asterisk-en-tt-weasels")
    long = "They have eaten the wires. " * 75
    plain, short, longest = recognised(
        whisper, *(asked(samples, "en", prompt=prompt) for prompt in ("", "eaten", long))
    )
    assert "have even our phone" in plain.text
    assert all("have eaten our phone" in one.text for one in (short, longest))


@pytest.mark.parametrize(
    "prompt", [" ".join(clip.text for clip in clips_of("en")) * 2, "Yes, indeed. " * 150], ids=["plain", "in circles"]
)
def test_a_full_prompt_leaves_room_for_a_full_window_and_leads_into_no_loop(whisper: SpeechEngine, prompt: str) -> None:
    samples = np.concatenate([clip.samples for clip in clips_of("en")])[: 30 * RATE_HZ]
    (one,) = recognised(whisper, asked(samples, "en", want_words=False, prompt=prompt))
    assert "young man" in one.text
    assert len(one.text.split()) > 40


def test_it_says_how_sure_it_is_of_the_language_it_identified(whisper: SpeechEngine, clips: list[Clip]) -> None:
    found = recognised(whisper, *(asked(clip.samples, want_words=False) for clip in clips))
    assert all(one.language_probability is not None and 0.3 < one.language_probability <= 1 for one in found)


def test_it_says_how_sure_it_is_of_each_word(whisper: SpeechEngine, clips: list[Clip], speech: Clip) -> None:
    for one in recognised(whisper, *(asked(clip.samples) for clip in clips)):
        assert one.words
        assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in one.words)
    right, wrong = recognised(whisper, asked(speech.samples, "en"), asked(speech.samples, "it"))
    assert _mean_confidence(right) > 0.8
    assert _mean_confidence(wrong) < _mean_confidence(right) - 0.2


def _mean_confidence(one: Recognition) -> float:
    known = [word.confidence for word in one.words or () if word.confidence is not None]
    return sum(known) / len(known)


def test_words_are_where_they_were_said_after_a_long_silence(whisper: SpeechEngine, speech: Clip) -> None:
    silence = np.zeros(10 * RATE_HZ)
    (plain,) = recognised(whisper, asked(speech.samples, "en"))
    (moved,) = recognised(whisper, asked(np.concatenate([silence, speech.samples, silence]), "en"))
    assert plain.words is not None
    assert moved.words is not None
    assert moved.words[0].text == plain.words[0].text
    assert moved.words[1].start_s == pytest.approx(plain.words[1].start_s + 10, abs=0.15)
    assert moved.words[-1].end_s == pytest.approx(plain.words[-1].end_s + 10, abs=0.3)


def test_words_on_both_sides_of_a_silence_stay_on_their_side(whisper: SpeechEngine, speech: Clip) -> None:
    pause = np.zeros(8 * RATE_HZ)
    (one,) = recognised(whisper, asked(np.concatenate([speech.samples, pause, speech.samples]), "en"))
    assert one.words is not None
    assert one.text.lower().count("young man") == 2
    assert not [word for word in one.words if speech.seconds < word.start_s < speech.seconds + 8 - 0.5]


def test_a_full_window_of_speech_loses_no_sentence(whisper: SpeechEngine) -> None:
    parts, texts = [], []
    for clip in clips_of("ru"):
        if sum(part.size for part in parts) + clip.samples.size < 28 * RATE_HZ:
            parts.append(clip.samples)
            texts.append(clip.text)
    (one,) = recognised(whisper, asked(np.concatenate(parts), "ru", want_words=False))
    assert len(one.text.split()) == pytest.approx(sum(len(text.split()) for text in texts), abs=5)


def test_a_snippet_without_a_word_costs_a_bounded_time(whisper: SpeechEngine, speech: Clip) -> None:
    began_s = time.perf_counter()
    recognised(whisper, asked(speech.samples[8000:9600]))
    assert time.perf_counter() - began_s < 60, "a decoder in a loop takes far longer"


# OpenBLAS ends the process where it gets no work buffer; those it once had for threads at the same time it keeps.
SHORT_OF_MEMORY = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from asr_queue.errors import EngineOutOfMemoryError
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create
from tests.engines.clips import RATE_HZ, asked, clips_of, recognised

engine = create("whisper", EngineSettings(cache_dir=Path(sys.argv[1]), threads=2))
engine.load()
speech = asked(clips_of("en")[0].samples, "en")
before = recognised(engine, speech)
matrices = [np.ones((1500, 1500), dtype) for dtype in (np.float32, np.float64)] * 4
with ThreadPoolExecutor(len(matrices)) as pool:
    list(pool.map(lambda matrix: matrix @ matrix, matrices))
many = [asked(np.resize(speech.samples, 30 * RATE_HZ), "en")] * 16
for spare_mb in 20, 80:
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + (spare_mb << 20), resource.RLIM_INFINITY))
    try:
        engine.run(many)
    except EngineOutOfMemoryError:
        print("out of memory")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("same" if recognised(engine, speech) == before else "different")
"""


def test_memory_that_runs_out_is_told_and_survived(engine_settings: EngineSettings) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, str(engine_settings.cache_dir)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split("\n")[:3] == ["out of memory", "out of memory", "same"], ran.stderr
