"""The client for programs that do not run on asyncio: the same client, on a thread of its own."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from asr_queue.client.aio import AsyncClient
from asr_queue.client.pacing import PollPolicy, RetryPolicy
from asr_queue.client.results import ItemResult, OnProgress, SpeechResult
from asr_queue.client.sources import Uploadable
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

T = TypeVar("T")


class Client:
    """Speaks the four steps of the contract; may be used from several threads at once.

    Arguments and behaviour are those of `AsyncClient`; each method is documented there.
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
        self._client = AsyncClient(base_url, api_key, request_timeout_s=request_timeout_s, retry=retry, poll=poll)
        self._runs: set[AsyncGenerator[Any, None]] = set()
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name="asr-queue-client"))
        self._stack.callback(lambda: self._run(self._client.aclose))

    def __enter__(self) -> Self:
        """Return the client; it is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Stop what still runs, close all connections and end the thread; the client is of no use afterwards."""
        while self._runs:
            self._run(self._runs.pop().aclose)
        self._stack.close()

    def check_access(self) -> None:
        """Return when the server answers and accepts the key; one try."""
        self._run(self._client.check_access)

    def upload(self, source: Uploadable, *, file_name: str | None = None) -> UploadAnswer:
        """Upload one recording (a path, or bytes); it lives for 30 minutes, or until its item is finished."""
        return self._run(partial(self._client.upload, source, file_name=file_name))

    def submit(
        self,
        items: Sequence[SubmitItem],
        *,
        label: str = "",
        priority: Priority | str = Priority.NORMAL,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> SubmitAnswer:
        """Submit 1 to 1,000 items as one batch; `item_ids` of the answer are in their order."""
        return self._run(
            partial(
                self._client.submit,
                items,
                label=label,
                priority=priority,
                callback_url=callback_url,
                idempotency_key=idempotency_key,
            )
        )

    def list_batches(
        self,
        *,
        label: str | None = None,
        state: BatchStatus | str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
    ) -> Iterator[BatchAnswer]:
        """Yield the batches of the key's tenant, newest first; pages are read as needed."""
        batches = self._client.list_batches(label=label, state=state, created_from=created_from, created_to=created_to)
        return self._pulled(batches)

    def cancel(self, batch_id: str) -> int:
        """End what of a batch has not ended; return how many items that were."""
        return self._run(partial(self._client.cancel, batch_id))

    def cancel_item(self, batch_id: str, item_id: str) -> bool:
        """End an item that has not ended; return whether this call did."""
        return self._run(partial(self._client.cancel_item, batch_id, item_id))

    def retry_failed(self, batch_id: str, *, idempotency_key: str | None = None) -> RetryAnswer:
        """Submit what has failed of a batch by now once more, as a new batch."""
        return self._run(partial(self._client.retry_failed, batch_id, idempotency_key=idempotency_key))

    def status(self, batch_id: str, *, wait_s: int = 0) -> StatusAnswer:
        """Return how far a batch has come, when it will be finished, and what it has cost."""
        return self._run(partial(self._client.status, batch_id, wait_s=wait_s))

    def queue(self) -> QueueAnswer:
        """Return what waits, and the workers that live: everybody's, not only one's own."""
        return self._run(self._client.queue)

    def wait(self, batch_id: str, *, deadline_s: float | None = None) -> StatusAnswer:
        """Wait until every item of a batch is `done` or `error`; return the batch."""
        return self._run(partial(self._client.wait, batch_id, deadline_s=deadline_s))

    def fetch(self, item: ItemAnswer | str) -> Transcript:
        """Return a finished item's transcript; it lives for 30 minutes from its completion."""
        return self._run(partial(self._client.fetch, item))

    def save(self, item: ItemAnswer | str, path: str | Path) -> Path:
        """Write what a finished item came to, such as its speech, into a file as it comes; return its path."""
        return self._run(partial(self._client.save, item, path))

    def delete_file(self, item: ItemAnswer | str) -> None:
        """Remove a transcript or an upload before its time; it is then answered as an expired one."""
        self._run(partial(self._client.delete_file, item))

    def download_batch(
        self,
        batch_id: str,
        path: str | Path,
        *,
        form: Format | str = Format.JSON,
        archive: Archive | str = Archive.ZIP,
    ) -> Path:
        """Write every transcript of a finished batch into one file, as it comes; return its path."""
        return self._run(partial(self._client.download_batch, batch_id, path, form=form, archive=archive))

    def create_voice(self, name: str, file_id: str, *, said: str = "", consent: bool) -> VoiceAnswer:
        """Make a named voice of an upload; it stays until it is deleted, and its `voice_id` stands for that upload."""
        return self._run(partial(self._client.create_voice, name, file_id, said=said, consent=consent))

    def list_voices(self) -> Iterator[VoiceAnswer]:
        """Yield the named voices of the key's tenant, newest first; pages are read as needed."""
        return self._pulled(self._client.list_voices())

    def delete_voice(self, voice_id: str) -> None:
        """Remove a named voice and its sample."""
        self._run(partial(self._client.delete_voice, voice_id))

    def delete_batch(self, batch_id: str) -> None:
        """Remove a batch with its transcripts; what of it is not finished is given up. Its uploads stay."""
        self._run(partial(self._client.delete_batch, batch_id))

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
    ) -> Iterator[ItemResult]:
        """Transcribe any number of files; yield one result a path, as they come, with a transcript or an error.

        `paths` and `on_progress` are used on the client's thread.
        """
        results = self._client.transcribe(
            paths,
            language=language,
            timestamps=timestamps,
            prompt=prompt,
            label=label,
            priority=priority,
            deadline_s=deadline_s,
            on_progress=on_progress,
        )

        return self._pulled(results)

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
    ) -> Iterator[SpeechResult]:
        """Say any number of texts in one voice; yield one result a text, as they come, with speech or an error.

        `texts` is used on the client's thread.
        """
        results = self._client.speak(
            texts,
            voice=voice,
            language=language,
            form=form,
            label=label,
            priority=priority,
            deadline_s=deadline_s,
        )
        return self._pulled(results)

    def _pulled(self, results: AsyncGenerator[T, None]) -> Iterator[T]:
        async def next_result() -> T | None:
            return await anext(results, None)

        self._runs.add(results)
        try:
            while (result := self._run(next_result)) is not None:
                yield result
        except GeneratorExit:
            if results in self._runs:  # else `close` has ended it already
                self._run(results.aclose)
            raise
        finally:
            self._runs.discard(results)

    def _run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the thread; an interrupt (Ctrl-C) cancels it.

        Raises:
            RuntimeError: the client is closed.
        """
        future = self._portal.start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
