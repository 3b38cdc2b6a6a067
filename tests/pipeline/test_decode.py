import io
import os
import signal
import threading
import time
import wave

import numpy as np
import psutil
import pytest

from asr_queue.errors import CallerError, RetryableError
from gpu_worker.pipeline import decode as decode_module
from gpu_worker.pipeline.decode import Decoder
from tests.pipeline.makers import RATE_HZ, TITLE, encoded, muxed, tone, wav

HEARD_S = 2.0


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    with Decoder(tmp_path_factory.mktemp("decode"), processes=2, timeout_s=20, max_audio_s=60.0) as decoder:
        yield decoder


def refusal(decoder: Decoder, data: bytes) -> CallerError:
    with pytest.raises(CallerError) as caught:
        decoder.decode(data, sample_rate_hz=RATE_HZ)
    return caught.value


def assert_is_the_tone(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert samples.size == pytest.approx(HEARD_S * RATE_HZ, abs=0.08 * RATE_HZ)
    middle = samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(np.argmax(spectrum)) == pytest.approx(300, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


FILES = {
    "wav 16 kHz": lambda: wav(HEARD_S),
    "wav 8 kHz µ-law": lambda: encoded(tone(HEARD_S, rate_hz=8000), 8000, "WAV", "ULAW"),
    "wav 8 kHz 8 bit": lambda: encoded(tone(HEARD_S, rate_hz=8000), 8000, "WAV", "PCM_U8"),
    "wav 96 kHz 24 bit six channels": lambda: encoded(
        tone(HEARD_S, rate_hz=96_000, channels=6), 96_000, "WAV", "PCM_24"
    ),
    "wav float": lambda: encoded(tone(HEARD_S, rate_hz=22_050), 22_050, "WAV", "FLOAT"),
    "aiff": lambda: encoded(tone(HEARD_S, rate_hz=32_000), 32_000, "AIFF"),
    "flac 44.1 kHz stereo": lambda: encoded(tone(HEARD_S, rate_hz=44_100, channels=2), 44_100, "FLAC"),
    "mp3": lambda: encoded(tone(HEARD_S, rate_hz=44_100), 44_100, "MP3"),
    "ogg vorbis": lambda: encoded(tone(HEARD_S, rate_hz=48_000, channels=2), 48_000, "OGG", "VORBIS"),
    "ogg opus": lambda: encoded(tone(HEARD_S, rate_hz=48_000), 48_000, "OGG", "OPUS"),
    "m4a": lambda: muxed(HEARD_S, "mp4", "aac"),
    "aac": lambda: muxed(HEARD_S, "adts", "aac"),
    "webm": lambda: muxed(HEARD_S, "webm", "libopus"),
    "mp4 with a picture": lambda: muxed(HEARD_S, "mp4", "aac", video="mpeg4"),
    "mkv with a picture": lambda: muxed(HEARD_S, "matroska", "aac", video="mpeg4"),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_usual_kind_of_file_becomes_mono_at_the_engines_rate(decoder, kind):
    assert_is_the_tone(decoder.decode(FILES[kind](), sample_rate_hz=RATE_HZ))


def test_samples_are_exactly_those_of_a_file_that_needs_no_change(decoder):
    sound = tone(1.5)
    assert np.array_equal(decoder.decode(encoded(sound, RATE_HZ, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ), sound)


def test_channels_are_averaged(decoder):
    sound = np.stack([np.full(RATE_HZ, 0.5, np.float32), np.full(RATE_HZ, -0.1, np.float32)], axis=1)
    assert np.allclose(decoder.decode(encoded(sound, RATE_HZ, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ), 0.2)


def test_louder_than_full_scale_is_clipped(decoder):
    assert decoder.decode(encoded(10 * tone(1.0), RATE_HZ, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ).max() == 1.0


def test_whoever_gets_the_samples_may_change_them(decoder):
    samples = decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
    samples[:] = 0.5
    assert samples.mean() == 0.5


def test_nothing_is_left_in_the_folder(tmp_path):
    with Decoder(tmp_path, processes=1, timeout_s=20, max_audio_s=60.0) as decoder:
        decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
        refusal(decoder, b"nothing of the kind")
        assert list(tmp_path.iterdir()) == []


def truncated(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


@pytest.mark.parametrize("kind", ["wav 16 kHz", "mp3", "flac 44.1 kHz stereo", "webm", "aac"])
def test_what_is_left_of_a_truncated_file_is_decoded(decoder, kind):
    samples = decoder.decode(truncated(FILES[kind](), 0.6), sample_rate_hz=RATE_HZ)
    assert 0.3 * HEARD_S < samples.size / RATE_HZ < 0.95 * HEARD_S


def test_what_is_left_of_a_truncated_ogg_is_decoded_to_its_last_whole_page(decoder):
    noise = np.random.default_rng(7).uniform(-0.3, 0.3, 20 * 44_100).astype(np.float32)
    samples = decoder.decode(truncated(encoded(noise, 44_100, "OGG", "VORBIS"), 0.6), sample_rate_hz=RATE_HZ)
    assert 5.0 < samples.size / RATE_HZ < 15.0


def test_a_hole_in_an_mp3_is_stepped_over(decoder):
    data = FILES["mp3"]()
    holed = data[:9000] + bytes(2000) + data[11_000:]
    assert decoder.decode(holed, sample_rate_hz=RATE_HZ).size > 0.7 * HEARD_S * RATE_HZ


def test_a_wav_that_was_streamed_and_does_not_know_its_length_is_read_to_its_end(decoder):
    data = bytearray(wav(HEARD_S))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert_is_the_tone(decoder.decode(bytes(data), sample_rate_hz=RATE_HZ))


def test_a_title_in_an_old_encoding_is_no_error(decoder):
    data = FILES["m4a"]()
    assert TITLE.encode() in data
    assert_is_the_tone(decoder.decode(data.replace(TITLE.encode(), b"Gespr\xe4ch!"), sample_rate_hz=RATE_HZ))


def test_silence_is_no_error(decoder):
    assert not decoder.decode(
        encoded(np.zeros(RATE_HZ, np.float32), RATE_HZ, "WAV", "PCM_16"), sample_rate_hz=RATE_HZ
    ).any()


REFUSED = {
    "audio_empty": lambda: b"",
    "audio_format_unknown": lambda: b"This is no recording but a text that somebody called speech.wav.\n" * 50,
    "audio_track_missing": lambda: muxed(1.0, "mp4", None, video="mpeg4"),
    "audio_corrupt": lambda: wav(1.0)[:44],
    "audio_too_short": lambda: wav(0.05),
    "audio_too_long": lambda: wav(60.1),
    "audio_not_finite": lambda: encoded(np.full(RATE_HZ, np.nan, np.float32), RATE_HZ, "WAV", "FLOAT"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_transcribed_is_refused_in_words_a_person_can_act_on(decoder, code):
    error = refusal(decoder, REFUSED[code]())
    assert error.code == code
    assert len(error.message.split()) > 5
    assert "/" not in error.message


def test_the_message_says_how_short_the_audio_is(decoder):
    assert "0.05 s" in refusal(decoder, wav(0.05)).message
    assert "0.1 s" in refusal(decoder, wav(0.05)).message


@pytest.mark.parametrize("data", [os.urandom(5000), b"\xff\xfb" + os.urandom(5000), b"OggS" + bytes(300)])
def test_garbage_is_no_audio(decoder, data):
    assert refusal(decoder, data).code in ("audio_format_unknown", "audio_corrupt", "audio_too_short")


def test_a_playlist_does_not_get_at_other_files(tmp_path):
    (tmp_path / "secret.aac").write_bytes(FILES["aac"]())
    concat = b"ffconcat version 1.0\nfile secret.aac\n"
    hls = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.aac\n#EXT-X-ENDLIST\n"
    with Decoder(tmp_path, processes=1, timeout_s=20, max_audio_s=60.0) as decoder:
        assert refusal(decoder, concat).code == "audio_format_unknown"
        assert refusal(decoder, hls).code == "audio_format_unknown"


def test_the_limits_of_length_hold_to_the_sample(decoder):
    assert decoder.decode(wav(60.0), sample_rate_hz=RATE_HZ).size == 60 * RATE_HZ
    assert decoder.decode(wav(0.1), sample_rate_hz=RATE_HZ).size == RATE_HZ // 10
    short = encoded(tone(0.2)[: RATE_HZ // 10 - 1], RATE_HZ, "WAV", "PCM_16")
    assert refusal(decoder, short).code == "audio_too_short"


def test_a_file_that_does_not_say_how_long_it_is_is_decoded_to_the_limit_at_most(decoder):
    assert refusal(decoder, muxed(61.0, "adts", "aac", rate_hz=16_000)).code == "audio_too_long"


def test_a_rate_of_one_sample_a_second_does_not_fill_the_disk(decoder):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(1)
        out.writeframes(bytes(200_000))
    assert refusal(decoder, file.getvalue()).code == "audio_too_long"


# -- processes that hang, crash, or are killed -------------------------------------------------------------------


@pytest.fixture
def fragile(tmp_path, monkeypatch):
    """Decoders whose processes do what a file asks for in its first bytes, where that is HANG, CRASH or EAT."""
    monkeypatch.setattr(decode_module, "decode_file", obedient_decode_file)
    decoders = []

    def make(*, processes: int = 1, timeout_s: float = 20.0) -> Decoder:
        decoders.append(Decoder(tmp_path, processes=processes, timeout_s=timeout_s, max_audio_s=60.0))
        return decoders[-1]

    yield make
    for decoder in decoders:
        decoder.close()


def obedient_decode_file(source, target, **bounds):
    from gpu_worker.pipeline.decode_file import decode_file

    wish = source.read_bytes()[:5]
    if wish.startswith(b"HANG"):
        time.sleep(600)
    if wish.startswith(b"CRASH"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if wish.startswith(b"EAT"):
        bytearray(8 << 30)
    return decode_file(source, target, **bounds)


def test_a_file_that_hangs_its_decoder_is_refused_and_its_neighbour_is_not(fragile):
    decoder = fragile(processes=2, timeout_s=1.0)
    decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
    errors = []
    hanging = threading.Thread(target=lambda: errors.append(refusal(decoder, b"HANG")))
    hanging.start()
    for _ in range(5):
        decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
    hanging.join(60)
    assert errors[0].code == "audio_undecodable"
    assert "1 s" in errors[0].message
    assert decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ).size == RATE_HZ


@pytest.mark.parametrize("wish", [b"CRASH", b"EAT"])
def test_a_file_that_crashes_its_decoder_or_eats_memory_is_refused_and_the_next_is_decoded(fragile, wish):
    decoder = fragile()
    assert refusal(decoder, wish).code == "audio_undecodable"
    assert decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ).size == RATE_HZ


def test_a_process_that_is_killed_while_it_has_nothing_to_do_costs_no_file(fragile):
    decoder = fragile()
    decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
    before = set(psutil.Process().children())
    for child in before:
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    time.sleep(0.3)
    assert decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ).size == RATE_HZ


def test_closing_ends_the_processes_and_whoever_waits_may_try_again_elsewhere(fragile):
    decoder = fragile()
    decoder.decode(wav(1.0), sample_rate_hz=RATE_HZ)
    errors = []

    def wait():
        with pytest.raises(RetryableError) as caught:
            decoder.decode(b"HANG", sample_rate_hz=RATE_HZ)
        errors.append(caught.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    decoder.close()
    waiting.join(60)
    assert errors[0].code == "worker_stopping"
