"""A run over recordings: each is uploaded, and what comes back is its transcript."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from asr_queue.client.caller import Caller
from asr_queue.client.errors import QueueClientError
from asr_queue.client.protocol import displayable, fetch_call, transcribe_item
from asr_queue.client.results import FileProgress, FileState, ItemResult
from asr_queue.client.sources import OnSent
from asr_queue.wire.api import ItemAnswer, SubmitItem

MAX_FETCHED: Final = 64
"""Transcripts that wait for the caller: those of long recordings are large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribing:
    """How to transcribe many files."""

    most_fetched: ClassVar[int] = MAX_FETCHED
    culprit_codes: ClassVar[frozenset[str]] = frozenset({"file_not_found", "file_expired"})

    caller: Caller
    language: str
    timestamps: bool
    prompt: str

    async def upload(self, source: Path, *, on_sent: OnSent | None) -> str:
        """Upload the recording."""
        return (await self.caller.upload(source, on_sent=on_sent)).file_id

    def item(self, source: Path, file_id: str) -> SubmitItem:
        """Ask for its transcript."""
        return transcribe_item(
            file_id,
            language=self.language,
            timestamps=self.timestamps,
            prompt=self.prompt,
            custom_id=displayable(source.name),
        )

    async def fetch(self, source: Path, item: ItemAnswer) -> ItemResult:
        """Read the transcript."""
        transcript = await self.caller.call(fetch_call(item))
        return ItemResult(path=source, transcript=transcript)

    def failed(self, source: Path, error: QueueClientError) -> ItemResult:
        """Say why there is none."""
        return ItemResult(path=source, error=error)

    def progress(
        self, source: Path, *, number: int, state: FileState, sent_bytes: int, size_bytes: int
    ) -> FileProgress:
        """Name the file by its path."""
        return FileProgress(number=number, path=source, state=state, sent_bytes=sent_bytes, size_bytes=size_bytes)
