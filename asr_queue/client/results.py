"""What a transcription of many files tells its caller."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from asr_queue.client.errors import QueueClientError
from asr_queue.wire.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of one file: a transcript, or the reason why there is none."""

    path: Path
    """The source, as it was given."""
    transcript: Transcript | None = None
    error: QueueClientError | None = None
    """Set exactly when `transcript` is not."""
    batch_id: str | None = None
    """None where it was never submitted."""
    item_id: str | None = None
    audio_s: float | None = None
    """Length of the audio, where the server said so."""
    device_s: float | None = None
    """Its share of the seconds that the device computed, where the server said so."""
    cost_usd: float | None = None
    """What those cost, where the server said so."""


class FileState(StrEnum):
    """Where one file is: in this order, but that it may fail at any place."""

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    """It waits for others, to be submitted with them."""
    QUEUED = "queued"
    PROCESSING = "processing"
    """A worker has it."""
    FETCHING = "fetching"
    """Its transcript is made, and on its way or about to be."""
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (FileState.DONE, FileState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """How far one file has come."""

    number: int
    """From 1, in the order of the sources: a path may come twice."""
    path: Path
    """The source, as it was given."""
    state: FileState
    sent_bytes: int = 0
    """How much of the upload is on its way; falls back where it is sent again."""
    size_bytes: int = 0
    """Of the whole upload; 0 until it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Counts of files so far; each goes from `started` to `uploaded` to `submitted` to `done`, or fails on the way."""

    started: int = 0
    """Taken from the sources."""
    uploaded: int = 0
    submitted: int = 0
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0
    """Total length of the audio of what is done, as far as the server tells."""
    file: FileProgress | None = None
    """The file that has just moved; None before the first."""
    seconds_left: float | None = None
    """Until what is submitted is finished, as the server expects; None where nothing is, or it does not tell."""


OnProgress: TypeAlias = Callable[[Progress], None]
"""Called on the client's own thread at every change; must be quick and must not call the client."""
