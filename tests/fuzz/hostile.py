"""Hostile files written by hand: claims and nestings that would fill memory, disk or time."""

import gzip
import io
import struct
import wave
from collections.abc import Callable
from typing import Final

import numpy as np

from tests.fuzz.mutations import sign_pages
from tests.fuzz.seeds import seed_file
from tests.pipeline.makers import encoded, wav

_SOUND: Final = bytes(3200)
_ALL: Final = b"\xff\xff\xff\xff"


def _patched(kind: str, mark: bytes, offset: int, value: bytes) -> Callable[[], bytes]:
    """A good file with bytes written over it, so many after the start of its first such mark."""

    def make() -> bytes:
        data = seed_file(kind)
        place = data.index(mark) + offset
        return data[:place] + value + data[place + len(value) :]

    return make


def _flac(*, samples: int = 3200, rate_hz: int = 16_000) -> Callable[[], bytes]:
    """A FLAC file whose header claims so many samples (36 bits) at such a rate (20 bits)."""

    def make() -> bytes:
        data = bytearray(seed_file("flac"))
        between = int.from_bytes(data[18:26], "big") & (0xFF << 36)
        data[18:26] = (between | rate_hz << 44 | samples).to_bytes(8, "big")
        return bytes(data)

    return make


def _wav(*, data_bytes: int = 3200, rate_hz: int = 16_000, channels: int = 1, bits: int = 16) -> Callable[[], bytes]:
    """A WAV file of 3,200 bytes of sound with such a header."""
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, 0, max(1, channels * bits // 8) & 0xFFFF, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", data_bytes) + _SOUND
    return lambda: b"RIFF" + _ALL + b"WAVE" + chunks


def _rare_samples() -> bytes:
    """A megabyte at one sample a second: 11 days."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(1)
        out.writeframes(bytes(1_000_000))
    return file.getvalue()


def _silence(kind: str, subtype: str) -> Callable[[], bytes]:
    """Ten minutes of nothing, at its smallest."""
    return lambda: encoded(np.zeros(600 * 8000, np.float32), 8000, kind, subtype)


def _granule(kind: str, granule: int) -> Callable[[], bytes]:
    """An Ogg file whose last page claims to end at such a sample."""

    def make() -> bytes:
        data = bytearray(seed_file(kind))
        place = data.rindex(b"OggS") + 6
        data[place : place + 8] = granule.to_bytes(8, "little")
        sign_pages(data)
        return bytes(data)

    return make


def _boxes(depth: int) -> bytes:
    """Boxes of an MP4 file in each other."""
    data = b""
    for _ in range(depth):
        data = struct.pack(">I", len(data) + 8) + b"moov" + data
    return struct.pack(">I", 24) + b"ftypM4A " + bytes(4) + b"M4A isom" + data


def _elements(depth: int) -> bytes:
    """Elements of a Matroska file in each other, each of unknown size."""
    endless = bytes.fromhex("01ffffffffffffff")
    head = bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska" + bytes.fromhex("18538067") + endless
    return head + (bytes.fromhex("1f43b675") + endless + b"\xa0" + endless) * depth


HOSTILE: Final[dict[str, tuple[Callable[[], bytes], str | None]]] = {
    "flac: 2^36 - 1 samples": (_flac(samples=(1 << 36) - 1), "audio_too_long"),
    "flac: 2^32 samples": (_flac(samples=1 << 32), "audio_too_long"),
    "flac: one sample a second": (_flac(rate_hz=1), None),
    "flac: no samples a second": (_flac(rate_hz=0), None),
    "flac: ten minutes of silence in 14 kB": (_silence("FLAC", "PCM_16"), "audio_too_long"),
    "ogg: ten minutes of silence": (_silence("OGG", "OPUS"), "audio_too_long"),
    "mp3: ten minutes of silence": (_silence("MP3", "MPEG_LAYER_III"), "audio_too_long"),
    "wav: 2^32 - 1 bytes of sound, of which 3,200 are there": (_wav(data_bytes=0xFFFFFFFF), "decoded"),
    "wav: 2^31 samples a second": (_wav(rate_hz=1 << 31), None),
    "wav: 2^32 - 1 samples a second": (_wav(rate_hz=0xFFFFFFFF), None),
    "wav: no samples a second": (_wav(rate_hz=0), None),
    "wav: one sample a second, for 11 days": (_rare_samples, "audio_too_long"),
    "wav: 65,535 channels": (_wav(channels=0xFFFF), None),
    "wav: no channels": (_wav(channels=0), None),
    "wav: 65,535 bits a sample": (_wav(bits=0xFFFF), None),
    "ogg: a granule of 2^63 - 1": (_granule("ogg vorbis", (1 << 63) - 1), None),
    "ogg: a granule of 2^64 - 2": (_granule("ogg opus", (1 << 64) - 2), None),
    "mp4: an atom of 2^63 bytes": (_patched("m4a aac", b"moov", -4, struct.pack(">I4sQ", 1, b"moov", 1 << 63)), None),
    "mp4: 2^32 - 1 entries in the table of sizes": (_patched("m4a aac", b"stsz", 12, _ALL), None),
    "mp4: samples of 2^32 - 1 bytes": (_patched("m4a aac", b"stsz", 8, _ALL), None),
    "mp4: 2^32 - 1 entries in the table of times": (_patched("m4a aac", b"stts", 8, 2 * _ALL), None),
    "mp4: 2^32 - 1 entries in the table of offsets": (_patched("m4a aac", b"stco", 8, _ALL), None),
    "mp4: a length of 2^32 - 1 ticks of a second": (_patched("m4a aac", b"mvhd", 16, b"\0\0\0\x01" + _ALL), None),
    "mp4: 10,000 atoms in each other": (lambda: _boxes(10_000), None),
    "matroska: 20,000 elements in each other": (lambda: _elements(20_000), None),
    "matroska: an element of 2^56 - 2 bytes": (
        _patched("webm opus", b"\x16\x54\xae\x6b", 4, b"\x01" + b"\xff" * 6 + b"\xfe"),
        None,
    ),
    "mp3: a tag that claims 256 MB": (lambda: b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + seed_file("mp3"), None),
    "mp3: 10,000 tags in a row": (lambda: b"ID3\x04\0\0\0\0\0\0" * 10_000 + seed_file("mp3"), None),
    "mp3: a million frame marks": (lambda: b"\xff\xfb\x90\x64" * (1 << 20), None),
    "avi: a list of 2^32 - 1 bytes": (_patched("avi", b"LIST", 4, _ALL), None),
    "16 MiB of zeros": (lambda: bytes(16 << 20), None),
    "gzip of a recording: nothing is unpacked": (lambda: gzip.compress(wav(10.0)), "audio_format_unknown"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(1000), "audio_format_unknown"),
    "xml that names a local file": (
        lambda: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><MPD>&b;</MPD>',
        "audio_format_unknown",
    ),
    "a playlist of addresses: nothing is fetched": (
        lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x\n#EXT-X-ENDLIST\n",
        "audio_format_unknown",
    ),
    "a picture of 2^31 by 2^31 points": (
        lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x7f\xff\xff\xff" * 2 + bytes(100),
        "audio_format_unknown",
    ),
}
"""Files by what they claim; the code of the refusal or `decoded`, None where libraries may read it either way."""
