"""The client for programs that run on asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from itertools import starmap
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from asr_queue.client.caller import Caller
from asr_queue.client.errors import DeadlineError
from asr_queue.client.pacing import PollPolicy, PollTimer, RetryPolicy
from asr_queue.client.protocol import (
    batches_call,
    cancel_call,
    create_voice_call,
    delete_batch_call,
    delete_file_call,
    delete_voice_call,
    download_path,
    fetch_call,
    file_path,
    queue_call,
    retry_call,
    status_call,
    submit_call,
    voices_call,
)
from asr_queue.client.results import ItemResult, OnProgress, SpeechResult
from asr_queue.client.runs import Run, RunOptions
from asr_queue.client.saving import whole_file
from asr_queue.client.sources import Uploadable
from asr_queue.client.speaking import Speaking, Text
from asr_queue.client.transcribing import Transcribing
from asr_queue.domain.batches import BatchStatus, Priority
from asr_queue.domain.speech import SpeechFormat
from asr_queue.wire.api import (
    BatchAnswer,
    ItemAnswer,
    QueueAnswer,
    RetryAnswer,
    StatusAnswer,
    SubmitAnswer,
    SubmitItem,
    UploadAnswer,
    VoiceAnswer,
)
from asr_queue.wire.downloads import Archive
from asr_queue.wire.formats import Format
from asr_queue.wire.transcript import Transcript


class AsyncClient:
    """Speaks the four steps of the contract; used from one event loop, by any number of tasks.

    Every method repeats what is worth repeating (connection errors, time-outs, 408, 429, 500, 502, 503, 504), with
    growing waits and jitter and never sooner than `Retry-After`, and raises what `asr_queue.client.errors` lists.

    Args:
        base_url: where the API is, such as `http://127.0.0.1:8000`; a path (a stage of API Gateway) is kept.
        api_key: sent as `X-API-Key`.
        request_timeout_s: how long one network operation of one try may stand still.
        retry: how long and how often a call is repeated.
        poll: how often `wait` and `transcribe` ask for a batch.

    Raises:
        ValueError: `base_url` is no http(s) URL, or the key cannot stand in a header.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        request_timeout_s: float = 60.0,
        retry: RetryPolicy | None = None,
        poll: PollPolicy | None = None,
    ) -> None:
        self._poll = poll or PollPolicy()
        self._caller = Caller(base_url, api_key, request_timeout_s=request_timeout_s, retry=retry or RetryPolicy())

    async def __aenter__(self) -> Self:
        """Return the client; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; the client is of no use afterwards."""
        await self._caller.aclose()

    async def check_access(self) -> None:
        """Return when the server answers and accepts the key; one try.

        Raises:
            ApiError: it answers, but refuses (401: the key).
            TransportError: it does not answer.
            BadAnswerError: something else answers at this address.
        """
        await self._caller.check_access()

    async def upload(self, source: Uploadable, *, file_name: str | None = None) -> UploadAnswer:
        """Upload one recording, streamed from where it is; it lives for 30 minutes, or until its item is finished.

        Args:
            source: a path, or bytes.
            file_name: what the server is told it is called; the source's own name by default.

        Raises:
            SourceError: it cannot be read.
        """
        return await self._caller.upload(source, file_name=file_name)

    async def submit(
        self,
        items: Sequence[SubmitItem],
        *,
        label: str = "",
        priority: Priority | str = Priority.NORMAL,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> SubmitAnswer:
        """Submit 1 to 1,000 items as one batch; `item_ids` of the answer are in their order.

        Args:
            items: `transcribe_item(file_id, ...)` makes one.
            label: at most 500 characters, for people.
            priority: "high", "normal" or "low": how the batch stands beside others that wait.
            callback_url: where the server is to tell that the batch has finished.
            idempotency_key: a repeated submit with the same key makes no second batch; a fresh one by default, which
                covers the repetitions inside this call.

        Raises:
            ValueError: no items, or too many, too long a label, or a priority that is none.
        """
        call = submit_call(
            items,
            label=label,
            priority=priority,
            callback_url=callback_url,
            idempotency_key=idempotency_key or uuid4().hex,
        )
        return await self._caller.call(call)

    async def list_batches(
        self,
        *,
        label: str | None = None,
        state: BatchStatus | str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
    ) -> AsyncGenerator[BatchAnswer, None]:
        """Yield the batches of the key's tenant, newest first, those that were deleted aside; pages are read as needed.

        Args:
            label: exactly this one; None for any.
            state: status of the batch: "queued", "processing", "completed", "partial" or "error"; None for any.
            created_from: leave out those made before.
            created_to: leave out those made then or later.

        Raises:
            ValueError: a state that is none, or a time without a zone.
        """
        cursor: str | None = None
        while True:
            call = batches_call(
                label=label, state=state, created_from=created_from, created_to=created_to, cursor=cursor
            )
            page = await self._caller.call(call)
            for batch in page.batches:
                yield batch
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, batch_id: str) -> int:
        """End what of a batch has not ended, as `error` with the code `cancelled`; return how many items that were."""
        return (await self._caller.call(cancel_call(batch_id))).cancelled

    async def cancel_item(self, batch_id: str, item_id: str) -> bool:
        """End an item that has not ended; return whether this call did."""
        return (await self._caller.call(cancel_call(batch_id, item_id))).cancelled > 0

    async def retry_failed(self, batch_id: str, *, idempotency_key: str | None = None) -> RetryAnswer:
        """Submit what has failed of a batch by now once more, as a new batch; what was cancelled is left out.

        Args:
            batch_id: the batch that stays as it is.
            idempotency_key: as for `submit`.

        Raises:
            ApiError: `nothing_to_retry`; `file_expired`, where an upload is gone: then nothing is submitted.
        """
        return await self._caller.call(retry_call(batch_id, idempotency_key=idempotency_key or uuid4().hex))

    async def status(self, batch_id: str, *, wait_s: int = 0) -> StatusAnswer:
        """Return how far a batch has come, when it will be finished, and what it has cost.

        Args:
            wait_s: 0 to 20; the answer comes once anything has happened, or so many seconds have passed.
        """
        return await self._caller.call(status_call(batch_id, wait_s=wait_s))

    async def queue(self) -> QueueAnswer:
        """Return what waits, and the workers that live: everybody's, not only one's own."""
        return await self._caller.call(queue_call())

    async def wait(self, batch_id: str, *, deadline_s: float | None = None) -> StatusAnswer:
        """Wait until every item of a batch is `done` or `error`; return the batch.

        Raises:
            DeadlineError: it was not finished within `deadline_s`.
        """
        timer = PollTimer(self._poll)
        before: StatusAnswer | None = None
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    batch = await self._caller.call(status_call(batch_id))
                    if batch.completed + batch.failed == batch.total:
                        return batch
                    has_moved = before is not None and batch.items != before.items
                    before = batch
                    await asyncio.sleep(timer.next_wait_s(has_moved=has_moved))
        except TimeoutError:
            seen = f"{before.completed + before.failed} of {before.total} items are" if before else "nothing is known"
            raise DeadlineError(f"batch {batch_id} is not finished after {deadline_s:g} s: {seen} final") from None

    async def fetch(self, item: ItemAnswer | str) -> Transcript:
        """Return a finished item's transcript; it lives for 30 minutes from its completion.

        Args:
            item: an item of a status answer, its `url`, or the last part of that.

        Raises:
            ValueError: the item has no transcript.
        """
        return await self._caller.call(fetch_call(item))

    async def save(self, item: ItemAnswer | str, path: str | Path) -> Path:
        """Write what a finished item came to, such as its speech, into a file as it comes; return its path.

        The file appears whole or not at all.

        Args:
            item: as for `fetch`.
            path: where to; a file that is there already is replaced.

        Raises:
            ValueError: the item has come to nothing.
            OSError: the file cannot be written.
        """
        address, path = file_path(item), Path(path)
        with whole_file(path) as file:
            await self._caller.download(address, file)
        return path

    async def delete_file(self, item: ItemAnswer | str) -> None:
        """Remove a transcript or an upload before its time; it is then answered as an expired one.

        Args:
            item: an item of a status answer, its `url`, the last part of that, or the `file_id` of an upload.

        Raises:
            ValueError: the item has no transcript.
            ApiError: `file_in_use`, where an unfinished item needs the upload.
        """
        await self._caller.call(delete_file_call(item))

    async def download_batch(
        self,
        batch_id: str,
        path: str | Path,
        *,
        form: Format | str = Format.JSON,
        archive: Archive | str = Archive.ZIP,
    ) -> Path:
        """Write every transcript of a finished batch into one file, as it comes; return its path.

        The file appears whole or not at all. Items without a transcript are in it, with why.

        Args:
            batch_id: what `submit` answered.
            path: where to; a file that is there already is replaced.
            form: of each transcript: json, verbose_json, txt, srt or vtt.
            archive: of all of them: zip, a file an item; or jsonl, a line an item.

        Raises:
            ValueError: there is no such format or archive.
            OSError: the file cannot be written.
            ApiError: `batch_unfinished`, where an item has not ended.
        """
        address = download_path(batch_id, Format(form), Archive(archive))
        path = Path(path)
        with whole_file(path) as file:
            await self._caller.download(address, file)
        return path

    async def create_voice(self, name: str, file_id: str, *, said: str = "", consent: bool) -> VoiceAnswer:
        """Make a named voice of an upload; it stays until it is deleted, and its `voice_id` stands for that upload.

        Args:
            name: 1 to 100 characters, for people.
            file_id: what `upload` answered for the sample.
            said: what is said in the sample, where that is known; at most 1,000 characters.
            consent: your statement that the speaker has agreed; without it the server refuses.

        Raises:
            ValueError: the name or what is said is too long.
            ApiError: `operation_unavailable`, where the server does not speak; `voice_too_large`.
        """
        return await self._caller.call(create_voice_call(name, file_id, said=said, consent=consent))

    async def list_voices(self) -> AsyncGenerator[VoiceAnswer, None]:
        """Yield the named voices of the key's tenant, newest first; pages are read as needed."""
        cursor: str | None = None
        while True:
            page = await self._caller.call(voices_call(cursor=cursor))
            for voice in page.voices:
                yield voice
            cursor = page.next_cursor
            if cursor is None:
                return

    async def delete_voice(self, voice_id: str) -> None:
        """Remove a named voice and its sample.

        Raises:
            ApiError: `file_in_use`, where an unfinished item needs it.
        """
        await self._caller.call(delete_voice_call(voice_id))

    async def delete_batch(self, batch_id: str) -> None:
        """Remove a batch with its transcripts; what of it is not finished is given up. Its uploads stay."""
        await self._caller.call(delete_batch_call(batch_id))

    def transcribe(
        self,
        paths: Iterable[str | Path],
        *,
        language: str = "auto",
        timestamps: bool = False,
        prompt: str = "",
        label: str = "",
        priority: Priority | str = Priority.NORMAL,
        deadline_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> AsyncGenerator[ItemResult, None]:
        """Transcribe any number of files; yield one result a path, as they come, with a transcript or an error.

        Files are uploaded side by side, submitted in batches of up to 200 as uploads arrive, and their transcripts
        fetched as they are finished; at most 2,000 are under way at once. A file that fails costs the others nothing;
        when no file can succeed any more (a refused key, a server that is gone) each of the rest gets that error.
        Leaving the iteration stops everything.

        Args:
            paths: read lazily.
            language: "auto", an English name or an ISO 639 code.
            timestamps: whether transcripts are to have word times.
            prompt: names and rare words that may be said; at most 2,000 characters.
            label: of each batch; at most 500 characters.
            priority: "high", "normal" or "low": how the batches stand beside others that wait.
            deadline_s: what is not finished by then gets a DeadlineError as its result.
            on_progress: told the counts, and which file has moved, at each change.
        """
        errand = Transcribing(caller=self._caller, language=language, timestamps=timestamps, prompt=prompt)
        options = RunOptions(label=label, priority=Priority(priority), deadline_s=deadline_s, on_progress=on_progress)
        return Run(self._caller, self._poll, map(Path, paths), errand, options).results()

    def speak(
        self,
        texts: Iterable[str],
        *,
        voice: Uploadable,
        language: str = "auto",
        form: SpeechFormat | str = SpeechFormat.WAV,
        label: str = "",
        priority: Priority | str = Priority.NORMAL,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[SpeechResult, None]:
        """Say any number of texts in one voice; yield one result a text, as they come, with speech or an error.

        As `transcribe` with the texts in the place of files: a text that fails costs the others nothing. A sample is
        uploaded once for all of them. At most 8 results wait in memory for the caller.

        Args:
            texts: read lazily; of at most 10,000 characters each.
            voice: a sample of it, as a path or bytes; or the id of an upload or of a named voice.
            language: of the texts: "auto", an English name or an ISO 639 code.
            form: "wav", "flac" or "mp3".
            label: as for `transcribe`, like the next two.

        Raises:
            ValueError: there is no such format or priority.
        """
        errand = Speaking(self._caller, voice=voice, language=language, form=SpeechFormat(form))
        options = RunOptions(label=label, priority=Priority(priority), deadline_s=deadline_s)
        return Run(self._caller, self._poll, starmap(Text, enumerate(texts, 1)), errand, options).results()
