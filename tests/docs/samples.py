"""Recordings under the names that the pages use."""

import io
from pathlib import Path

import av
import numpy as np
import soundfile

from tests.docs.pages import ROOT, blocks

_SPOKEN = ROOT / "tests" / "recordings"
_WRITTEN_BY_FFMPEG = {".m4a": ("ipod", "aac")}

# By name, which of our recordings it is.
RECORDINGS = {
    "talk.mp3": "librivox-0880.flac",
    "talk.flac": "librivox-0880.flac",
    "interview.m4a": "librivox-0930.flac",
    "meeting.wav": "librivox-0920.flac",
    "recordings/monday.flac": "librivox-0870.flac",
    "recordings/tuesday/part one.mp3": "librivox-0930.flac",
    "monday/interview 1.flac": "librivox-0920.flac",
    "monday/more/interview 2.flac": "librivox-0880.flac",
}


def lay(folder: Path) -> None:
    """Put them into a folder, and the manifest of docs/drop.md beside what it names."""
    for name, spoken in RECORDINGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(_SPOKEN / spoken, path.suffix))
    manifest = next(block for block in blocks("docs/drop.md") if block.language == "json")
    (folder / "monday" / "all.manifest.json").write_text(manifest.text)


def _encoded(spoken: Path, suffix: str) -> bytes:
    samples, rate_hz = soundfile.read(spoken, dtype="float32")
    file = io.BytesIO()
    if suffix not in _WRITTEN_BY_FFMPEG:
        soundfile.write(file, samples, rate_hz, format=suffix.removeprefix("."))
        return file.getvalue()
    container, codec = _WRITTEN_BY_FFMPEG[suffix]
    with av.open(file, "w", format=container) as out:
        track = out.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(track.format, "mono", rate_hz, frame_size=track.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(track.encode(part))
        out.mux(track.encode(None))
    return file.getvalue()
