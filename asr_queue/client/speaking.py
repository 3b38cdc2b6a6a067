"""A run over texts: the sample of the voice is uploaded once for all, and what comes back is speech."""

import asyncio
import io
import time
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from asr_queue.client.caller import Caller
from asr_queue.client.errors import ItemFailedError, QueueClientError
from asr_queue.client.protocol import file_path, speech_item
from asr_queue.client.results import FileState, SpeechResult
from asr_queue.client.sources import OnSent, Uploadable
from asr_queue.domain.speech import SpeechFormat
from asr_queue.wire.api import MAX_TEXT_CHARS, ItemAnswer, SubmitItem

MAX_FETCHED: Final = 8
"""Files of speech that wait for the caller: one of 10,000 characters takes some 30 MB as WAV."""
_SAMPLE_FOR_S: Final = 600.0
"""How long an upload is named in new items; it lives for 30 minutes and as long as unfinished items need it."""


class Text(NamedTuple):
    """One text and its place among them."""

    number: int
    text: str


class Speaking:
    """How to say many texts.

    Args:
        voice: a path or bytes: a sample, which is uploaded; the id of an upload or of a named voice stands for itself.
    """

    most_fetched: ClassVar[int] = MAX_FETCHED
    culprit_codes: ClassVar[frozenset[str]] = frozenset({"text_empty", "text_too_long"})

    def __init__(self, caller: Caller, *, voice: Uploadable, language: str, form: SpeechFormat) -> None:
        self._caller = caller
        self._voice = voice
        self._language = language
        self._form = form
        self._file_id = voice if isinstance(voice, str) and is_id(voice) else ""
        self._until_s = float("inf") if self._file_id else 0.0
        self._uploading = asyncio.Lock()

    async def upload(self, source: Text, *, on_sent: OnSent | None) -> str:
        """Return the id of the voice; its sample is uploaded where that was long ago."""
        if len(source.text) > MAX_TEXT_CHARS:
            raise ItemFailedError("text_too_long", f"{len(source.text)} characters; {MAX_TEXT_CHARS} are the most")
        async with self._uploading:
            if time.monotonic() >= self._until_s:
                self._file_id = (await self._caller.upload(self._voice, on_sent=on_sent)).file_id
                self._until_s = time.monotonic() + _SAMPLE_FOR_S
            return self._file_id

    def item(self, source: Text, file_id: str) -> SubmitItem:
        """Ask for the text in that voice."""
        return speech_item(file_id, source.text, language=self._language, form=self._form, custom_id=str(source.number))

    async def fetch(self, source: Text, item: ItemAnswer) -> SpeechResult:
        """Read the speech."""
        file = io.BytesIO()
        await self._caller.download(file_path(item), file)
        return SpeechResult(text=source.text, number=source.number, speech=file.getvalue())

    def failed(self, source: Text, error: QueueClientError) -> SpeechResult:
        """Say why there is none."""
        return SpeechResult(text=source.text, number=source.number, error=error)

    def progress(self, source: Text, *, number: int, state: FileState, sent_bytes: int, size_bytes: int) -> None:
        """Say nothing: a text is no file."""


def is_id(voice: str) -> bool:
    """Whether a text is an id of the service, in the form in which it gives them, and so no path."""
    try:
        return str(UUID(voice)) == voice
    except ValueError:
        return False
