"""Audio, and values of the pipe, for tests."""

import io
from datetime import UTC, datetime

import av
import numpy as np
import soundfile

from asr_queue.domain.items import Item, Operation
from asr_queue.domain.transcript import Word
from asr_queue.ports import Delivery
from gpu_worker.engine import Recognition, Samples
from gpu_worker.pipeline.transcripts import Recognised
from gpu_worker.work import Claimed, Processed, SpeechChunk

RATE_HZ = 16_000
TITLE = "Gespräch"
"""What FFmpeg's files are called, in UTF-8."""


def tone(audio_s: float, *, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    """A 300-Hz tone of amplitude 0.3: float32[n] or, with several channels, float32[n, channels]."""
    times = np.arange(round(audio_s * rate_hz)) / rate_hz
    sound = (0.3 * np.sin(2 * np.pi * 300 * times)).astype(np.float32)
    return sound if channels == 1 else np.stack([sound] * channels, axis=1)


def wav(audio_s: float, **options) -> bytes:
    return encoded(tone(audio_s), RATE_HZ, "WAV", "PCM_16", **options)


def encoded(sound: np.ndarray, rate_hz: int, kind: str, subtype: str | None = None) -> bytes:
    """A file as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def muxed(
    audio_s: float, container: str, codec: str | None, *, rate_hz: int = 48_000, video: str | None = None
) -> bytes:
    """A file as FFmpeg writes it: a stereo tone, with a black picture beside it or instead of it (codec None)."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        out.metadata["title"] = TITLE
        if video is not None:
            picture_track = out.add_stream(video, rate=10, width=64, height=64, pix_fmt="yuv420p")
        if codec is not None:
            track = out.add_stream(codec, rate=rate_hz, layout="stereo")
            sound = tone(audio_s, rate_hz=rate_hz, channels=2).T
            for start in range(0, sound.shape[1], 960):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(sound[:, start : start + 960]), format="fltp", layout="stereo"
                )
                frame.sample_rate = rate_hz
                frame.pts = start
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
        if video is not None:
            for number in range(round(audio_s * 10)):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts = number
                out.mux(picture_track.encode(picture))
            out.mux(picture_track.encode(None))
    return file.getvalue()


def claimed(
    name: str = "a",
    *,
    receive_count: int = 1,
    language: str | None = None,
    return_timestamps: bool = True,
    prompt: str = "",
) -> Claimed:
    item = Item(
        batch_id="batch",
        index=0,
        item_id=name,
        tenant="tenant",
        operation=Operation.TRANSCRIBE,
        upload_id=f"upload-{name}",
        upload_key=f"uploads/tenant/{name}",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        language=language,
        return_timestamps=return_timestamps,
        prompt=prompt,
        attempt=1,
    )
    return Claimed(
        item=item,
        delivery=Delivery(
            body="", receipt_handle=f"handle-{name}", receive_count=receive_count, sent_at=item.created_at
        ),
    )


def chunks_of(work: Claimed, *durations_s: float, samples: Samples | None = None) -> tuple[SpeechChunk, ...]:
    """Chunks of these durations, end to end; their samples are a single one unless given."""
    return tuple(
        SpeechChunk(
            claimed=work,
            position=position,
            of=len(durations_s),
            offset_s=sum(durations_s[:position]),
            duration_s=duration_s,
            samples=np.ones(1, np.float32) if samples is None else samples,
        )
        for position, duration_s in enumerate(durations_s)
    )


def recognised(
    chunk: SpeechChunk, text: str, *words: tuple[float, float, str], language: str | None = "en"
) -> Recognised:
    said = tuple(Word(*word) for word in words) if chunk.claimed.item.return_timestamps else None
    return Processed(chunk=chunk, output=Recognition(text=text, language=language, words=said))
