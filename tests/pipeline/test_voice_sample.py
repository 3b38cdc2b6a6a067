from functools import cache

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from asr_queue.errors import CallerError
from benchmarks.corpus import COMMITTED, read_manifest
from gpu_worker.engine import Voice, VoiceLimits
from gpu_worker.engines.speech import SAMPLE_RATE_HZ, SpeechFinder
from gpu_worker.pipeline.silence import without_silent_ends
from gpu_worker.pipeline.voice_sample import HEARING_RATE_HZ, checked_voice

RATE_HZ = 24_000
RECORDINGS = [one.path for one in read_manifest(COMMITTED)]
finder = cache(SpeechFinder)


def limits(*, rate_hz: int = RATE_HZ, least_s: float = 1.0, most_s: float = 5.0) -> VoiceLimits:
    return VoiceLimits(
        max_micro_batch=1,
        max_chars=300,
        sample_rate_hz=rate_hz,
        min_sample_s=least_s,
        max_sample_s=most_s,
        speech_rate_hz=rate_hz,
        languages=frozenset({"en"}),
    )


def checked(samples, hears=None, **options) -> Voice:
    return checked_voice(
        np.asarray(samples, np.float32),
        limits=limits(**options),
        digest="abc",
        said="so",
        hears=hears or finder().hears,
    )


def refused(samples, hears=None, **options) -> str:
    with pytest.raises(CallerError) as caught:
        checked(samples, hears, **options)
    return caught.value.code


def read(path, rate_hz: int = RATE_HZ) -> np.ndarray:
    samples, own_hz = soundfile.read(path, dtype="float32")
    return np.clip(soxr.resample(samples, own_hz, rate_hz), -1, 1).astype(np.float32)


def speech(rate_hz: int = RATE_HZ) -> np.ndarray:
    return read(next(path for path in RECORDINGS if "librivox-0870" in path.name), rate_hz)


def silence(audio_s: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    return np.zeros(round(audio_s * rate_hz), np.float32)


def seconds(audio_s: float) -> np.ndarray:
    return np.arange(round(audio_s * RATE_HZ)) / RATE_HZ


def noise(audio_s: float, amplitude: float) -> np.ndarray:
    return np.clip(amplitude * np.random.default_rng(0).standard_normal(round(audio_s * RATE_HZ)), -1, 1)


def melody() -> np.ndarray:
    """Sixteen plucked notes with seven overtones, 8 s; the finder takes a frame of it for speech."""
    time_s = seconds(0.5)
    notes = [
        sum(np.sin(2 * np.pi * hz * over * time_s) / over for over in range(1, 8)) * np.exp(-4 * time_s)
        for hz in (262, 294, 330, 349, 392, 440, 494, 523) * 2
    ]
    return np.concatenate(notes) / 4


def test_the_finder_listens_at_the_rate_that_it_is_given():
    assert HEARING_RATE_HZ == SAMPLE_RATE_HZ


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100])
def test_every_real_recording_is_a_voice_at_any_rate(rate_hz):
    for path in RECORDINGS:
        samples = read(path, rate_hz)
        voice = checked(samples, rate_hz=rate_hz)
        assert (voice.digest, voice.said, voice.samples.dtype) == ("abc", "so", np.float32)
        assert 1.0 <= voice.samples.size / rate_hz <= 5.0, path


def test_silence_is_taken_from_the_ends_and_the_rest_is_as_it_was():
    spoken = checked(speech()[: 4 * RATE_HZ]).samples
    voice = checked(np.concatenate([silence(3), spoken, silence(2)]))
    assert abs(voice.samples.size - spoken.size) < 0.25 * RATE_HZ
    begin = int(np.argmax(voice.samples != 0)) + round(0.5 * RATE_HZ)
    same = voice.samples[begin : begin + 2 * RATE_HZ]
    at = int(np.flatnonzero(spoken == same[0])[0])
    assert np.array_equal(spoken[at : at + same.size], same)


def test_a_sample_is_its_own_and_not_a_view_of_hours_of_audio():
    samples = speech()
    assert not np.shares_memory(checked(samples).samples, samples)


def test_a_long_one_is_cut_in_a_pause():
    spoken = speech()[: 3 * RATE_HZ]
    voice = checked(np.concatenate([spoken, silence(0.4), spoken]), most_s=4.0)
    assert 3.0 <= voice.samples.size / RATE_HZ <= 3.4
    assert not voice.samples[-10:].any()


@given(
    audio_s=st.floats(0.2, 30.0),
    least_s=st.floats(0.1, 5.0),
    more_s=st.floats(0.0, 10.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_comes_out_is_within_the_limits_whatever_they_are(audio_s, least_s, more_s, seed):
    rate_hz = 1000
    samples = np.random.default_rng(seed).uniform(-1, 1, round(audio_s * rate_hz)).astype(np.float32)
    options = {"rate_hz": rate_hz, "least_s": least_s, "most_s": least_s + more_s}
    if samples.size < round(least_s * rate_hz):
        assert refused(samples, lambda _: True, **options) == "voice_too_short"
    else:
        size = checked(samples, lambda _: True, **options).samples.size
        assert round(least_s * rate_hz) <= size <= round((least_s + more_s) * rate_hz)


@pytest.mark.parametrize(
    "samples",
    [
        silence(5),
        silence(0),
        np.full(5 * RATE_HZ, 0.7),
        noise(5, 0.0005),
        0.001 * np.sin(2 * np.pi * 300 * seconds(5)),
    ],
    ids=["zeros", "nothing", "offset", "hiss", "faint tone"],
)
def test_silence_is_no_voice(samples):
    assert refused(samples, lambda _: True) == "voice_silent"


def test_what_is_too_short_without_its_silence_is_refused_and_a_sample_more_is_not():
    assert refused(np.concatenate([silence(5), speech()[RATE_HZ : RATE_HZ * 3 // 2], silence(5)])) == "voice_too_short"
    assert refused(noise(1, 0.3)[:-1], lambda _: True) == "voice_too_short"
    assert checked(noise(1, 0.3), lambda _: True).samples.size == RATE_HZ


@pytest.mark.parametrize(
    "samples",
    [
        0.3 * np.sin(2 * np.pi * 300 * seconds(5)),
        0.5 * np.sign(np.sin(2 * np.pi * 150 * seconds(5))),
        noise(5, 0.01),
        noise(5, 0.5),
        noise(5, 0.2) * (np.sin(2 * np.pi * 2 * seconds(5)) > 0),
        0.4 * np.sin(2 * np.pi * (50 * seconds(5) + 200 * seconds(5) ** 2)),
        (np.random.default_rng(0).random(5 * RATE_HZ) < 0.0005) * 0.9,
        melody(),
        np.concatenate([speech()[: RATE_HZ // 2], 0.3 * np.sin(2 * np.pi * 300 * seconds(4))]),
    ],
    ids=[
        "tone",
        "square",
        "soft noise",
        "loud noise",
        "bursts",
        "sweep",
        "clicks",
        "melody",
        "half a second of speech",
    ],
)
def test_what_is_not_speech_is_no_voice(samples):
    assert refused(samples, most_s=10.0) == "voice_not_speech"


@pytest.mark.parametrize(
    "damage",
    [
        lambda sound: np.clip(20 * sound, -1, 1),
        lambda sound: np.clip(sound + 0.4, -1, 1),
        lambda sound: 0.01 * sound,
        lambda sound: sound + 0.3 * sound.std() * np.random.default_rng(0).standard_normal(sound.size),
    ],
    ids=["clipped", "offset", "quiet", "noisy"],
)
def test_speech_is_a_voice_however_badly_it_was_recorded(damage):
    damaged = damage(speech()).astype(np.float32)
    voice = checked(np.concatenate([damaged, silence(1)]), most_s=30.0)
    assert abs(voice.samples.size - damaged.size) < 0.3 * RATE_HZ
    assert np.isin(voice.samples, np.append(damaged, 0)).all()


def test_of_hours_only_the_first_minutes_are_read():
    assert refused(np.concatenate([silence(50), speech()])) == "voice_silent"
    assert checked(np.concatenate([silence(45), speech()])).samples.any()


@given(before=st.integers(0, 300), sound=st.integers(1, 300), behind=st.integers(0, 300), kept_s=st.floats(0, 0.2))
def test_no_more_than_is_kept_is_left_of_silence_and_no_sound_is_taken(before, sound, behind, kept_s):
    rate_hz = 500
    ends = round(kept_s * rate_hz) + 10
    samples = np.concatenate([np.zeros(before), np.tile([0.5, -0.5], 150)[:sound], np.zeros(behind)]).astype(np.float32)
    trimmed = without_silent_ends(samples, sample_rate_hz=rate_hz, kept_s=kept_s)
    if trimmed.size:
        assert np.count_nonzero(trimmed) == sound
        assert trimmed.size <= min(before, ends) + sound + min(behind, ends)
    else:
        assert sound == 1
