"""The client for programs that do not run on asyncio: the same client, on a thread of its own."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from asr_queue.client.aio import AsyncClient
from asr_queue.client.loop_thread import LoopThread
from asr_queue.client.pacing import PollPolicy, RetryPolicy
from asr_queue.client.results import ItemResult, OnProgress
from asr_queue.client.sources import Uploadable
from asr_queue.client.transcription import MAX_IN_FLIGHT
from asr_queue.wire.api import ItemAnswer, StatusAnswer, SubmitAnswer, SubmitItem, UploadAnswer
from asr_queue.wire.transcript import Transcript


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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = AsyncClient(
            base_url, api_key, request_timeout_s=request_timeout_s, retry=retry, poll=poll, transport=transport
        )
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        """Return the client; it is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; the client is of no use afterwards."""
        if self._thread.is_running:
            self._thread.run(self._client.aclose())
            self._thread.stop()

    def upload(self, source: Uploadable, *, file_name: str | None = None) -> UploadAnswer:
        """Upload one recording (a path, bytes or an open binary file); it lives for 30 minutes."""
        return self._thread.run(self._client.upload(source, file_name=file_name))

    def submit(
        self, items: Sequence[SubmitItem], *, label: str = "", idempotency_key: str | None = None
    ) -> SubmitAnswer:
        """Submit 1 to 1,000 items as one batch; `item_ids` of the answer are in their order."""
        return self._thread.run(self._client.submit(items, label=label, idempotency_key=idempotency_key))

    def status(self, batch_id: str) -> StatusAnswer:
        """Return how far a batch has come."""
        return self._thread.run(self._client.status(batch_id))

    def wait(self, batch_id: str, *, deadline_s: float | None = None) -> StatusAnswer:
        """Wait until every item of a batch is `done` or `error`; return the batch."""
        return self._thread.run(self._client.wait(batch_id, deadline_s=deadline_s))

    def fetch(self, item: ItemAnswer | str) -> Transcript:
        """Return a finished item's transcript; it lives for 30 minutes from its completion."""
        return self._thread.run(self._client.fetch(item))

    def check_access(self) -> None:
        """Return when the server answers and accepts the key; one try."""
        self._thread.run(self._client.check_access())

    def transcribe(
        self,
        paths: Iterable[str | Path],
        *,
        language: str = "auto",
        timestamps: bool = False,
        label: str = "",
        deadline_s: float | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        on_progress: OnProgress | None = None,
    ) -> Iterator[ItemResult]:
        """Transcribe any number of files; yield one result a path, as they come, with a transcript or an error.

        `paths` and `on_progress` are used on the client's thread.
        """
        results = self._client.transcribe(
            paths,
            language=language,
            timestamps=timestamps,
            label=label,
            deadline_s=deadline_s,
            max_in_flight=max_in_flight,
            on_progress=on_progress,
        )
        return self._pulled(results)

    def _pulled(self, results: AsyncGenerator[ItemResult, None]) -> Iterator[ItemResult]:
        async def next_result() -> ItemResult | None:
            return await anext(results, None)

        try:
            while (result := self._thread.run(next_result())) is not None:
                yield result
        finally:
            if self._thread.is_running:
                self._thread.run(results.aclose())
