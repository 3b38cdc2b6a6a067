"""What a run over many recordings or texts tells its caller."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from asr_queue.client.errors import BadAnswerError, QueueClientError
from asr_queue.client.saving import whole_file
from asr_queue.wire.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is known of one source in the end, whatever was asked for."""

    error: QueueClientError | None = None
    """Why nothing came of it; None where something did."""
    batch_id: str | None = None
    """None where it was never submitted."""
    item_id: str | None = None
    audio_s: float | None = None
    """Length of the audio that was heard or made, where the server said so."""
    device_s: float | None = None
    """Its share of the seconds that the device computed, where the server said so."""
    cost_usd: float | None = None
    """What those cost, where the server said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult(Result):
    """What became of one file: a transcript, or an error, never both."""

    path: Path
    """The source, as it was given."""
    transcript: Transcript | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechResult(Result):
    """What became of one text: speech, or an error, never both."""

    text: str
    """As it was given."""
    number: int
    """From 1, in the order of the texts."""
    speech: bytes | None = None
    """A whole file of the format that was asked for."""

    def save(self, path: str | Path) -> Path:
        """Write the speech into a file, which appears whole or not at all; return its path.

        Args:
            path: where to; a file that is there already is replaced.

        Raises:
            QueueClientError: there is no speech: the error of this text.
            OSError: the file cannot be written.
        """
        if self.speech is None:
            raise self.error or BadAnswerError("there is no speech to save")
        path = Path(path)
        with whole_file(path) as file:
            file.write(self.speech)
        return path


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
