import io
import wave

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from asr_queue.domain.speech import SpeechFormat
from benchmarks.corpus import COMMITTED, read_manifest
from gpu_worker.pipeline.decode_file import decode_file
from gpu_worker.pipeline.speech_file import encode

RATE_HZ = 24_000
MARK = "Synthetic speech, made by asr-queue; item 8f14e45f-ceea-467f-a8f3-0d2c1b7a9e55"
FORMS = list(SpeechFormat)
LOSSLESS = [SpeechFormat.WAV, SpeechFormat.FLAC]


def file_of(samples, form: SpeechFormat, *, rate_hz: int = RATE_HZ, mark: str = MARK) -> bytes:
    return encode(np.asarray(samples, np.float32), rate_hz=rate_hz, form=form, mark=mark)


def read(data: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(data), dtype="float32")


def speech() -> np.ndarray:
    path = next(one.path for one in read_manifest(COMMITTED) if "librivox-0870" in one.path.name)
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return np.clip(soxr.resample(samples, rate_hz, RATE_HZ), -1, 1)


def tone(audio_s: float, rate_hz: int) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 300 * np.arange(round(audio_s * rate_hz)) / rate_hz)


@pytest.mark.parametrize("form", FORMS)
def test_the_file_is_of_its_kind_rate_and_length_with_one_channel(form):
    with soundfile.SoundFile(io.BytesIO(file_of(tone(1.0, RATE_HZ), form))) as file:
        assert (file.format, file.samplerate, file.channels, file.frames) == (form.value.upper(), RATE_HZ, 1, RATE_HZ)


def test_the_header_of_a_wav_says_what_is_behind_it():
    data = file_of(tone(1.0, RATE_HZ), SpeechFormat.WAV)
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    with wave.open(io.BytesIO(data)) as file:
        assert file.getparams()[:5] == (1, 2, RATE_HZ, RATE_HZ, "NONE")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_another_reader_finds_the_mark_the_rate_and_the_sound(form, rate_hz):
    sound = tone(2.0, rate_hz)
    with av.open(io.BytesIO(file_of(sound, form, rate_hz=rate_hz))) as file:
        assert file.metadata["comment"] == MARK
        decoded = np.concatenate([frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)])
        assert file.streams.audio[0].rate == rate_hz
    assert abs(decoded.size - sound.size) <= 1152
    overlap = min(decoded.size, sound.size)
    assert np.corrcoef(decoded[:overlap], sound[:overlap])[0, 1] > 0.99


@pytest.mark.parametrize("form", FORMS)
def test_the_mark_is_read_back_as_it_was(form):
    for mark in ("x", MARK, "".join(map(chr, range(0x20, 0x7F))), "a" * 500):
        with soundfile.SoundFile(io.BytesIO(file_of([0.5], form, mark=mark))) as file:
            assert file.comment == mark


@pytest.mark.parametrize("mark", ["", "é", "a\nb", "a\x00", "🙂"], ids=ascii)
@pytest.mark.parametrize("form", FORMS)
def test_a_mark_that_not_every_form_keeps_is_refused(form, mark):
    with pytest.raises(ValueError, match="ASCII"):
        file_of([0.5], form, mark=mark)


@pytest.mark.parametrize("form", FORMS)
def test_real_speech_comes_back(form, tmp_path):
    sound = speech()
    data = file_of(sound, form)
    back, _ = read(data)
    assert back.size == sound.size
    assert np.corrcoef(back, sound)[0, 1] > 0.998
    assert back.std() == pytest.approx(sound.std(), rel=0.02)
    source, target = tmp_path / "speech", tmp_path / "samples"
    source.write_bytes(data)
    count = decode_file(source, target, sample_rate_hz=RATE_HZ, max_audio_s=60)
    assert count == sound.size
    assert np.corrcoef(np.fromfile(target, np.float32), sound)[0, 1] > 0.998


def test_an_mp3_is_a_fifth_of_a_wav_or_less():
    sound = speech()
    assert len(file_of(sound, SpeechFormat.MP3)) < len(file_of(sound, SpeechFormat.WAV)) / 5


@given(npst.arrays(np.float32, st.integers(1, 3000), elements=st.floats(-4, 4, width=32)), st.sampled_from(LOSSLESS))
@settings(max_examples=200)
def test_16_bits_hold_every_sample_to_half_a_step_and_the_rest_is_clipped_not_wrapped(samples, form):
    back, _ = read(file_of(samples, form))
    assert np.abs(back * (32_768 / 32_767) - np.clip(samples, -1, 1)).max() <= 0.5 / 32_767 + 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 2, 575, 576, 577, 1152, 4608])
def test_a_file_of_any_length_has_that_length(form, count):
    back, _ = read(file_of(np.full(count, 0.1), form))
    assert back.size == count


@pytest.mark.parametrize("form", FORMS)
def test_the_same_speech_gives_the_same_file(form):
    assert file_of(tone(1.0, RATE_HZ), form) == file_of(tone(1.0, RATE_HZ), form)


@pytest.mark.parametrize("form", FORMS)
def test_a_square_wave_at_full_scale_stays_within_it(form):
    back, _ = read(file_of(np.sign(tone(1.0, RATE_HZ)), form))
    assert np.abs(back).max() <= (1.0 if form in LOSSLESS else 1.5)
    assert np.corrcoef(back, np.sign(tone(1.0, RATE_HZ)))[0, 1] > 0.99
