"""What a transcription of many files tells its caller."""

from collections.abc import Callable
from dataclasses import dataclass
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


OnProgress: TypeAlias = Callable[[Progress], None]
"""Called on the client's own thread at every change; must be quick and must not call the client."""
