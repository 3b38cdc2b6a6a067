"""Damaged files, each made from its number alone, so that any one of them can be made again."""

import random
from typing import Final

from tests.fuzz.seeds import MAKERS, seed_file

KINDS: Final = tuple(MAKERS)
_EXTREMES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Of which counts, sizes, rates and offsets are made that parsers get wrong."""
_WIDE: Final = (1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 32, (1 << 40) + 1)
_HEADER_BYTES: Final = 256
_MOST_BYTES: Final = 64 * 1024


def mutated(number: int) -> tuple[str, bytes]:
    """Return the kind of the file that one began as, and the damaged file; the same for the same number."""
    kind = KINDS[number % len(KINDS)]
    draw = random.Random(number)
    data = bytearray(seed_file(kind))
    for _ in range(draw.choice((1, 1, 2, 3, 5, 9, 20))):
        draw.choice(_MUTATIONS)(data, draw)
        if not data:
            data += draw.randbytes(16)
    if kind.startswith("ogg") and draw.random() < 0.8:
        sign_pages(data)
    return kind, bytes(data[:_MOST_BYTES])


def sign_pages(data: bytearray) -> None:
    """Make the checksums of an Ogg file's pages right, or no reader would look any further."""
    place = data.find(b"OggS")
    while place >= 0 and place + 27 <= len(data):
        following = data.find(b"OggS", place + 4)
        sizes = data[place + 27 : place + 27 + data[place + 26]]
        end = place + 27 + len(sizes) + sum(sizes)
        data[place + 22 : place + 26] = bytes(4)
        data[place + 22 : place + 26] = _checksum(data[place:end]).to_bytes(4, "little")
        place = following


def _checksum(page: bytes) -> int:
    """Return the CRC of RFC 3533: polynomial 0x04c11db7, nothing reflected or inverted."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRCS[crc >> 24 ^ byte]
    return crc


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


_CRCS: Final = tuple(_crc_of(byte) for byte in range(256))


def _place(data: bytearray, draw: random.Random) -> int:
    """Return a place, in the header half of the time: that is where the structure is."""
    return draw.randrange(min(len(data), _HEADER_BYTES) if draw.random() < 0.5 else len(data))


def _flip_bit(data: bytearray, draw: random.Random) -> None:
    data[_place(data, draw)] ^= 1 << draw.randrange(8)


def _set_byte(data: bytearray, draw: random.Random) -> None:
    data[_place(data, draw)] = draw.randrange(256)


def _set_number(data: bytearray, draw: random.Random) -> None:
    """Write an extreme where some number may be."""
    size = draw.choice((1, 2, 3, 4, 4, 8))
    value = draw.choice(_EXTREMES + _WIDE) & ((1 << 8 * size) - 1)
    place = _place(data, draw)
    data[place : place + size] = value.to_bytes(size, draw.choice(("big", "little")))


def _nudge_number(data: bytearray, draw: random.Random) -> None:
    """Let some number be a little off."""
    size, order = draw.choice((2, 4)), draw.choice(("big", "little"))
    place = _place(data, draw)
    value = int.from_bytes(data[place : place + size], order) + draw.randint(-16, 16)
    data[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)


def _cut_out(data: bytearray, draw: random.Random) -> None:
    place = _place(data, draw)
    del data[place : place + draw.choice((1, 2, 4, 16, 100, 1000))]


def _cut_off(data: bytearray, draw: random.Random) -> None:
    del data[_place(data, draw) :]


def _repeat(data: bytearray, draw: random.Random) -> None:
    place = _place(data, draw)
    some = data[place : place + draw.choice((1, 4, 16, 64, 512))]
    data[place:place] = some * draw.choice((1, 2, 8, 64))


def _insert(data: bytearray, draw: random.Random) -> None:
    place = _place(data, draw)
    data[place:place] = draw.randbytes(draw.choice((1, 2, 4, 16, 64)))


def _swap(data: bytearray, draw: random.Random) -> None:
    size = draw.choice((1, 2, 4, 16, 64))
    one, other = _place(data, draw), _place(data, draw)
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def _graft(data: bytearray, draw: random.Random) -> None:
    """Put a piece of another kind of file in."""
    other = seed_file(draw.choice(KINDS))
    start = draw.randrange(len(other))
    place = _place(data, draw)
    data[place : place + draw.choice((0, 16, 256))] = other[start : start + draw.choice((8, 64, 512))]


def _blank(data: bytearray, draw: random.Random) -> None:
    place = _place(data, draw)
    size = min(draw.choice((4, 16, 256)), len(data) - place)
    data[place : place + size] = bytes([draw.choice((0, 0xFF))]) * size


_MUTATIONS: Final = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_number,
    _set_number,
    _set_number,
    _nudge_number,
    _cut_out,
    _cut_off,
    _repeat,
    _insert,
    _swap,
    _graft,
    _blank,
)
