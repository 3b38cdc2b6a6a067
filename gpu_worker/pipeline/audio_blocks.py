"""Reading any audio file as short mono blocks. Runs in the decoding processes only; no file is ever held whole."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from asr_queue.errors import CallerError

_MOST_BLOCK_S: Final = 10
_MOST_BLOCK_VALUES: Final = 1 << 20
"""Bounds a block by memory as well: a header may claim a thousand channels."""

_CONTAINERS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpc,mpeg,mpegts,ogg,rm,tak,tta,voc,"
    "w64,wav,wv"
)
"""What PyAV may open. Playlists and scripts (HLS, DASH, concat and their like) name further files: never those."""

_FORMATS: Final = "wav, flac, mp3, ogg, opus, m4a, or a video in mp4, mov, mkv or webm"


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of sound, its channels averaged."""

    sample_rate_hz: int
    samples: NDArray[np.float32]


class Reader(Protocol):
    """An open file. Iterating raises what its library raises; what came before that is good."""

    @property
    def duration_s(self) -> float | None:
        """Length that the file's header claims, or None where it claims nothing."""

    def __iter__(self) -> Iterator[Block]:
        """Read the sound from where it stands to its end."""


class SoundfileReader:
    """libsndfile: wav, aiff, flac, mp3, ogg and others; the cheaper of the two.

    Raises:
        soundfile.LibsndfileError: it does not know the format.
    """

    def __init__(self, path: Path) -> None:
        self._file = soundfile.SoundFile(path)

    @property
    def duration_s(self) -> float | None:
        """Length in frames by the rate."""
        frames, rate_hz = int(self._file.frames), int(self._file.samplerate)
        return frames / rate_hz

    def __iter__(self) -> Iterator[Block]:
        """Read to the end, or to what cannot be decoded."""
        rate_hz, channels = self._file.samplerate, self._file.channels
        with self._file as file:
            frames = max(1, min(_MOST_BLOCK_S * rate_hz, _MOST_BLOCK_VALUES // channels))
            while (values := file.read(frames, dtype="float32", always_2d=True)).size:
                yield Block(rate_hz, values[:, 0] if channels == 1 else values.mean(axis=1))


class AvReader:
    """FFmpeg: whatever else holds sound, video included, of which the first audio track is taken.

    Raises:
        av.FFmpegError: no container that it may open.
        CallerError: `audio_track_missing`.
    """

    def __init__(self, path: Path) -> None:
        self._container = av.open(
            str(path),
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            # Titles are written in every encoding there is, and nobody reads them here.
            metadata_errors="replace",
        )
        if not self._container.streams.audio:
            self._container.close()
            raise CallerError("audio_track_missing", "The file has no audio track; send one that has sound.")

    @property
    def duration_s(self) -> float | None:
        """Length of the container, in FFmpeg's microseconds."""
        duration = self._container.duration
        return None if duration is None else duration / av.time_base

    def __iter__(self) -> Iterator[Block]:
        """Read to the end, stepping over packets that cannot be decoded."""
        with self._container as container:
            layout, resampler = None, None
            for packet in _packets(container):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue
                for frame in frames:
                    assert isinstance(frame, av.AudioFrame)
                    if resampler is None or layout != (frame.format.name, frame.layout.name, frame.sample_rate):
                        # Only the sample format is changed here, and a resampler knows one input format.
                        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
                        resampler = av.AudioResampler(format="flt")
                    for packed in resampler.resample(frame):
                        # Never "fltp": of more than eight channels' planes PyAV 18.1 reads what lies elsewhere.
                        values = packed.to_ndarray().reshape(-1, packed.layout.nb_channels)
                        yield Block(packed.sample_rate, values.mean(axis=1, dtype=np.float32))


def _packets(container: InputContainer) -> Iterator["av.Packet[AudioStream]"]:
    """Read the first audio track's packets, and the empty one that ends them."""
    # A transport stream may show new tracks on its way; PyAV 18.1 looks for them among the old ones at the very end.
    with contextlib.suppress(IndexError):
        yield from container.demux(container.streams.audio[0])


def readers(path: Path) -> Iterator[Reader]:
    """Yield an open reader for each library that knows the format, the cheaper one first.

    Raises:
        CallerError: `audio_format_unknown` where none does, `audio_track_missing`.
    """
    known = False
    try:
        yield SoundfileReader(path)
        known = True
    except soundfile.LibsndfileError:
        pass
    try:
        yield AvReader(path)
    except av.FFmpegError as error:
        if not known:
            raise CallerError(
                "audio_format_unknown", f"Invalid audio format: this is no audio that can be read. Send {_FORMATS}."
            ) from error
