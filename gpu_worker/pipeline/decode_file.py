"""Decoding one file to mono samples at one rate; what a decoding process does, from end to end."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import BinaryIO, Final

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asr_queue.errors import CallerError
from gpu_worker.pipeline.audio_blocks import Block, Reader, readers

_LEAST_AUDIO_S: Final = 0.1
"""Shorter than any word; engines' feature extractors want more than one frame as well."""
_MEMORY_BYTES: Final = 1 << 30
"""Address space of a decoding process beyond what its libraries take; blocks need a few dozen MB."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file cannot be decoded: the fields of a CallerError, which itself does not survive pickling."""

    code: str
    message: str


def prepare_process() -> None:
    """Make this process fit for files from strangers: bounded memory, silent, gone as soon as its parent is."""
    if sys.platform == "linux":
        import resource

        used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + _MEMORY_BYTES, used_bytes + _MEMORY_BYTES))
        # A core file would keep somebody's recording on the disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # libsndfile and mpg123 write about damaged files to both, which belong to the worker's log.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.close(silence)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def decode_file(source: Path, target: Path, *, sample_rate_hz: int, max_audio_s: float) -> int | Refusal:
    """Decode to raw native float32 samples in [-1, 1], mono, and return how many there are.

    A file that is damaged somewhere is decoded as far as it goes, if that gives sound at all.

    Args:
        source: any file.
        target: where the samples go; what it holds after a refusal is of no use.
        sample_rate_hz: rate of the result.
        max_audio_s: a longer file is refused, by its header where that tells, and in any case before more than
            that is decoded.

    Raises:
        OSError: the disk is full or broken.
    """
    try:
        _check_not_empty(source)
        with target.open("wb") as file:
            count = _decode(source, file, sample_rate_hz, max_audio_s)
        _check_long_enough(count / sample_rate_hz)
    except CallerError as error:
        return Refusal(error.code, error.message)
    return count


def _decode(source: Path, target: BinaryIO, sample_rate_hz: int, max_audio_s: float) -> int:
    for reader in readers(source):
        _check_short_enough(reader.duration_s or 0.0, max_audio_s)
        count = 0
        for samples in _resampled(_readable(reader), sample_rate_hz):
            np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False).tofile(target)
            count += samples.size
            _check_short_enough(count / sample_rate_hz, max_audio_s)
        if count:
            return count
    raise CallerError(
        "audio_corrupt", "Nothing in the file could be decoded: it is damaged, or was cut off before any sound."
    )


def _readable(reader: Reader) -> Iterator[Block]:
    with contextlib.suppress(soundfile.LibsndfileError, av.FFmpegError):
        yield from reader


def _resampled(blocks: Iterator[Block], sample_rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Bring blocks to one rate; their own may change along the way."""
    rate_hz, stream = sample_rate_hz, None
    for block in blocks:
        if not np.isfinite(block.samples).all():
            raise CallerError("audio_not_finite", "The audio holds values that are no numbers (NaN or infinity).")
        if block.sample_rate_hz != rate_hz:
            if stream is not None:
                yield stream.resample_chunk(np.empty(0, np.float32), last=True)
            rate_hz = block.sample_rate_hz
            stream = None if rate_hz == sample_rate_hz else soxr.ResampleStream(rate_hz, sample_rate_hz, 1)
        # A float file may hold values whose sums in the resampler are no numbers any more.
        samples = np.clip(block.samples, -1.0, 1.0)
        yield samples if stream is None else stream.resample_chunk(samples)
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _check_not_empty(source: Path) -> None:
    if source.stat().st_size == 0:
        raise CallerError("audio_empty", "The file is empty (0 bytes); send a recording with sound in it.")


def _check_short_enough(audio_s: float, max_audio_s: float) -> None:
    if audio_s > max_audio_s:
        raise CallerError(
            "audio_too_long", f"The audio is longer than {max_audio_s:g} s, the most that one item may have; split it."
        )


def _check_long_enough(audio_s: float) -> None:
    if audio_s < _LEAST_AUDIO_S:
        raise CallerError(
            "audio_too_short", f"The audio lasts {audio_s:.2g} s; at least {_LEAST_AUDIO_S:g} s are needed."
        )


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
