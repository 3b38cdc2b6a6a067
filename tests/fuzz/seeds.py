"""Small good files of every kind that the decoder reads: what mutations begin with."""

import io
import wave
from collections.abc import Callable
from functools import cache
from typing import Final

import av
import numpy as np

from tests.pipeline.makers import encoded, tone

_SEED_S: Final = 0.2
"""Short, so that most of a file is structure: what parsers read, and where they err."""


def _sound(kind: str, subtype: str, rate_hz: int = 8000, channels: int = 1) -> Callable[[], bytes]:
    """A file as libsndfile writes it."""
    return lambda: encoded(tone(_SEED_S, rate_hz=rate_hz, channels=channels), rate_hz, kind, subtype)


def _track(
    container: str, codec: str, *, rate_hz: int = 16_000, sample_format: str = "fltp", video: str | None = None
) -> Callable[[], bytes]:
    """A file as FFmpeg writes it: mono, with a small picture beside it where `video` names a codec."""

    def make() -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            out.metadata["title"] = "seed"
            picture = None
            if video is not None:
                picture = out.add_stream(video, rate=10, width=32, height=32, pix_fmt="yuv420p")
            track = out.add_stream(codec, rate=rate_hz, layout="mono", format=sample_format)
            track.bit_rate = 64_000
            whole = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(tone(_SEED_S, rate_hz=rate_hz)[None, :]), format="fltp", layout="mono"
            )
            whole.sample_rate = rate_hz
            whole.pts = 0
            fitting = av.AudioResampler(format=sample_format, layout="mono", frame_size=track.frame_size or 1024)
            for frame in (*fitting.resample(whole), *fitting.resample(None)):
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
            if picture is not None:
                black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                for number in range(2):
                    black.pts = number
                    out.mux(picture.encode(black))
                out.mux(picture.encode(None))
        return file.getvalue()

    return make


MAKERS: Final[dict[str, Callable[[], bytes]]] = {
    "wav pcm": _sound("WAV", "PCM_16"),
    "wav 24 bit, six channels": _sound("WAVEX", "PCM_24", channels=6),
    "wav float": _sound("WAV", "FLOAT"),
    "wav µ-law": _sound("WAV", "ULAW"),
    "wav ima adpcm": _sound("WAV", "IMA_ADPCM"),
    "wav ms adpcm": _sound("WAV", "MS_ADPCM"),
    "wav gsm": _sound("WAV", "GSM610"),
    "rf64": _sound("RF64", "PCM_16"),
    "w64": _sound("W64", "PCM_16"),
    "aiff": _sound("AIFF", "PCM_16"),
    "au": _sound("AU", "PCM_16"),
    "caf": _sound("CAF", "PCM_16"),
    "caf alac": _sound("CAF", "ALAC_16"),
    "voc": _sound("VOC", "PCM_16"),
    "nist": _sound("NIST", "PCM_16"),
    "paf": _sound("PAF", "PCM_24"),
    "sds": _sound("SDS", "PCM_16"),
    "xi": _sound("XI", "DPCM_16"),
    "mat5": _sound("MAT5", "PCM_16"),
    "flac": _sound("FLAC", "PCM_16", 16_000, 2),
    "mp3": _sound("MP3", "MPEG_LAYER_III", 16_000),
    "ogg vorbis": _sound("OGG", "VORBIS", 16_000),
    "ogg opus": _sound("OGG", "OPUS", 16_000),
    "m4a aac": _track("mp4", "aac"),
    "m4a alac": _track("mp4", "alac", sample_format="s16p"),
    "mp4 with a picture": _track("mp4", "aac", video="mpeg4"),
    "mov pcm": _track("mov", "pcm_s16le", sample_format="s16"),
    "3gp": _track("3gp", "libopencore_amrnb", rate_hz=8000, sample_format="s16"),
    "amr": _track("amr", "libopencore_amrnb", rate_hz=8000, sample_format="s16"),
    "aac": _track("adts", "aac"),
    "latm": _track("latm", "aac"),
    "webm opus": _track("webm", "libopus", rate_hz=16_000, sample_format="s16"),
    "mkv with a picture": _track("matroska", "aac", video="mpeg4"),
    "mkv flac": _track("matroska", "flac", sample_format="s16"),
    "ogg flac": _track("ogg", "flac", sample_format="s16"),
    "avi": _track("avi", "mp2", rate_hz=32_000, sample_format="s16", video="mpeg4"),
    "flv": _track("flv", "libmp3lame", rate_hz=22_050, video="flv"),
    "mpeg-ts": _track("mpegts", "mp2", rate_hz=32_000, sample_format="s16"),
    "mpeg-ps": _track("mpeg", "mp2", rate_hz=32_000, sample_format="s16"),
    "wma": _track("asf", "wmav2", rate_hz=44_100),
    "ac3": _track("ac3", "ac3", rate_hz=32_000),
    "eac3": _track("eac3", "eac3", rate_hz=32_000),
    "wavpack": _track("wv", "wavpack"),
    "tta": _track("tta", "tta", sample_format="s16"),
    "rm": _track("rm", "ac3", rate_hz=32_000),
}
"""By the name of their kind."""


def _plain_wave() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(3)
        out.setframerate(11_025)
        out.writeframes(bytes(6 * 2000))
    return file.getvalue()


MAKERS["wav of the standard library"] = _plain_wave


@cache
def seed_file(kind: str) -> bytes:
    """Return the good file of a kind."""
    return MAKERS[kind]()
