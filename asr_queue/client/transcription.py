"""Many files through the contract at once, in bounded memory.

    sources ─▶ upload ─▶ group ─▶ submit ─▶ poll ─▶ fetch ─▶ results
              parallel   <= 200             a task   parallel   as they come
                                            a batch

A file takes a slot before its upload begins, and gives it back when its result is handed to the caller; so what
waits anywhere is bounded by the slots, and an upload is submitted long before it expires. Exactly one result
comes for every source, whatever fails.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from asr_queue.client.errors import (
    ApiError,
    BadAnswerError,
    DeadlineError,
    ItemFailedError,
    QueueClientError,
    TransportError,
)
from asr_queue.client.pacing import PollPolicy, PollTimer
from asr_queue.client.protocol import Answer, displayable, transcribe_item
from asr_queue.client.results import ItemResult, OnProgress, Progress
from asr_queue.client.sources import Uploadable
from asr_queue.domain.items import ItemStatus
from asr_queue.wire.api import ItemAnswer, StatusAnswer, SubmitAnswer, SubmitItem
from asr_queue.wire.transcript import Transcript

BATCH_ITEMS: Final = 200
"""Items a submit: the upper end of the usual size (the contract)."""
MAX_IN_FLIGHT: Final = 2_000
"""Files that are between the beginning of their upload and the caller, by default."""
_PARALLEL_UPLOADS: Final = 8
_PARALLEL_FETCHES: Final = 16
_LONGEST_LINGER_S: Final = 30.0
"""How long an upload waits for others at most; it would live for 30 minutes."""
_POLLS_A_SECOND: Final = 8
"""All batches together."""
_CULPRIT_CODES: Final = frozenset({"file_not_found", "file_expired"})
"""Refusals of a submit that are the fault of one of its items."""
_HOPELESS_STATUSES: Final = frozenset({401, 403})
_HOPELESS_CODES: Final = frozenset({"unknown_language", "unknown_operation", "operation_unavailable"})
"""Refusals that every other file would meet too."""


class Api(Protocol):
    """The four calls, each repeated as its policy says, as the transcription needs them."""

    async def is_alive(self) -> bool:
        """Whether the server answers right now; asked once."""

    async def upload(self, source: Uploadable) -> str:
        """Upload; return the file id."""

    async def submit(self, items: Sequence[SubmitItem], *, label: str, idempotency_key: str) -> SubmitAnswer:
        """Submit one batch."""

    async def poll(self, batch_id: str) -> Answer[StatusAnswer]:
        """Ask for a batch once."""

    async def fetch(self, item: ItemAnswer) -> Transcript:
        """Fetch a finished item's transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeOptions:
    """How to transcribe many files."""

    language: str = "auto"
    timestamps: bool = False
    label: str = ""
    deadline_s: float | None = None
    max_in_flight: int = MAX_IN_FLIGHT
    on_progress: OnProgress | None = None
    poll: PollPolicy = field(default_factory=PollPolicy)


@dataclass(slots=True, eq=False)
class _Job:
    """One source on its way."""

    path: Path
    file_id: str = ""
    uploaded_at_s: float = 0.0
    batch_id: str | None = None
    item_id: str | None = None
    audio_s: float | None = None


class Transcription:
    """One run over many files."""

    def __init__(self, api: Api, paths: Iterable[str | Path], options: TranscribeOptions) -> None:
        if options.max_in_flight < 1:
            raise ValueError(f"max_in_flight is {options.max_in_flight}; it must be at least 1")
        self._api = api
        self._paths = iter(paths)
        self._options = options
        self._slots = asyncio.Semaphore(options.max_in_flight)
        self._to_upload: asyncio.Queue[_Job | None] = asyncio.Queue(maxsize=_PARALLEL_UPLOADS)
        self._uploaded: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._results: asyncio.Queue[ItemResult | None] = asyncio.Queue()
        self._fetches = asyncio.Semaphore(_PARALLEL_FETCHES)
        self._open: set[_Job] = set()
        self._open_batches = 0
        self._hopeless: QueueClientError | None = None
        self._progress = Progress()

    async def results(self) -> AsyncGenerator[ItemResult, None]:
        """Yield one result a source, as they come; closing the iterator stops everything."""
        run = asyncio.create_task(self._run())
        try:
            while (result := await self._results.get()) is not None:
                yield result
                self._slots.release()
            await _unwrapped(run)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    # -- the stages ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            try:
                async with asyncio.timeout(self._options.deadline_s), asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._find())
                    tasks.create_task(self._upload_all())
                    tasks.create_task(self._submit_all(tasks))
            except TimeoutError:
                self._hopeless = DeadlineError(f"not done within {self._options.deadline_s:g} s")
                for job in list(self._open):
                    self._fail(job, self._hopeless)
                async for job in self._found():
                    self._fail(job, self._hopeless)
                self._count(all_found=True)
        finally:
            self._results.put_nowait(None)

    async def _find(self) -> None:
        async for job in self._found():
            await self._to_upload.put(job)
        self._count(all_found=True)
        for _ in range(_PARALLEL_UPLOADS):
            await self._to_upload.put(None)

    async def _found(self) -> AsyncIterator[_Job]:
        """Yield a job a source, each with a slot."""
        while True:
            await self._slots.acquire()
            path = next(self._paths, None)
            if path is None:
                self._slots.release()
                return
            job = _Job(Path(path))
            self._open.add(job)
            self._count(found=1)
            yield job

    async def _upload_all(self) -> None:
        async with asyncio.TaskGroup() as uploaders:
            for _ in range(_PARALLEL_UPLOADS):
                uploaders.create_task(self._upload_some())
        self._uploaded.put_nowait(None)

    async def _upload_some(self) -> None:
        while (job := await self._to_upload.get()) is not None:
            if self._hopeless:
                self._fail(job, self._hopeless)
                continue
            try:
                job.file_id = await self._api.upload(job.path)
            except QueueClientError as error:
                await self._judge(error)
                self._fail(job, error)
                continue
            job.uploaded_at_s = time.monotonic()
            self._count(uploaded=1)
            self._uploaded.put_nowait(job)

    async def _submit_all(self, tasks: asyncio.TaskGroup) -> None:
        """Submit when a batch is full, or when its oldest upload has waited long enough for company.

        The more batches are open, the longer it waits: many small batches would mean many polls.
        """
        group: list[_Job] = []
        is_last = False
        while not is_last:
            linger_s = None
            if group:
                linger_s = min(0.5 + self._open_batches, _LONGEST_LINGER_S)
                linger_s = max(0.0, group[0].uploaded_at_s + linger_s - time.monotonic())
            try:
                async with asyncio.timeout(linger_s):
                    job = await self._uploaded.get()
                is_last = job is None
                if job is not None:
                    group.append(job)
                is_due = is_last or len(group) >= BATCH_ITEMS
            except TimeoutError:
                is_due = True
            if is_due and group:
                await self._submit(group, tasks)
                group = []

    async def _submit(self, group: list[_Job], tasks: asyncio.TaskGroup) -> None:
        """Submit a group; where one of its items is refused, in halves, so that only that one fails."""
        if self._hopeless:
            self._fail_all(group, self._hopeless)
            return
        items = [
            transcribe_item(
                job.file_id,
                language=self._options.language,
                timestamps=self._options.timestamps,
                custom_id=displayable(job.path.name),
            )
            for job in group
        ]
        try:
            answer = await self._api.submit(items, label=self._options.label, idempotency_key=uuid4().hex)
        except QueueClientError as error:
            if error.code in _CULPRIT_CODES and len(group) > 1:
                middle = len(group) // 2
                await self._submit(group[:middle], tasks)
                await self._submit(group[middle:], tasks)
                return
            await self._judge(error)
            self._fail_all(group, error)
            return
        for job, item_id in zip(group, answer.item_ids, strict=True):
            job.batch_id, job.item_id = answer.batch_id, item_id
        self._count(submitted=len(group))
        tasks.create_task(self._follow(answer.batch_id, {str(job.item_id): job for job in group}, tasks))

    async def _follow(self, batch_id: str, jobs: dict[str, _Job], tasks: asyncio.TaskGroup) -> None:
        """Poll a batch until each of its items is settled; `jobs` holds those that are not."""
        self._open_batches += 1
        timer = PollTimer(self._options.poll)
        wait_s = timer.next_wait_s(progressed=False)
        before: tuple[int, ...] = ()
        try:
            while jobs:
                await asyncio.sleep(wait_s)
                answer = await self._api.poll(batch_id)
                states = [item.status for item in answer.value.items]
                now = tuple(states.count(status) for status in ItemStatus)
                self._settle(answer.value.items, jobs, tasks)
                if jobs and answer.value.completed + answer.value.failed == answer.value.total:
                    raise BadAnswerError(f"batch {batch_id} is finished, but says nothing of {len(jobs)} of its items")
                wait_s = timer.next_wait_s(
                    progressed=bool(before) and now != before,
                    retry_after_s=answer.retry_after_s,
                    at_least_s=self._open_batches / _POLLS_A_SECOND,
                )
                before = now
        except QueueClientError as error:
            self._fail_all(jobs.values(), error)
        finally:
            self._open_batches -= 1

    def _settle(self, items: Iterable[ItemAnswer], jobs: dict[str, _Job], tasks: asyncio.TaskGroup) -> None:
        """Take what is final out of `jobs`: fail it, or begin to fetch its transcript."""
        for item in items:
            if not item.status.is_final or (job := jobs.pop(item.item_id, None)) is None:
                continue
            job.audio_s = item.audio_s
            if item.status is ItemStatus.ERROR:
                self._fail(job, ItemFailedError(item.error_code or "item_failed", item.error or "no reason was given"))
            elif item.url:
                tasks.create_task(self._fetch(job, item))
            else:
                self._fail(job, BadAnswerError(f"item {item.item_id} is done but has no url"))

    async def _fetch(self, job: _Job, item: ItemAnswer) -> None:
        async with self._fetches:
            try:
                transcript = await self._api.fetch(item)
            except QueueClientError as error:
                self._fail(job, error)
                return
        self._finish(job, ItemResult(path=job.path, transcript=transcript))

    # -- the ends ------------------------------------------------------------------------------------------------

    async def _judge(self, error: QueueClientError) -> None:
        """Decide whether a failure means that no other file can fare better."""
        is_refusal = isinstance(error, ApiError) and (
            error.status in _HOPELESS_STATUSES or error.code in _HOPELESS_CODES
        )
        # What was repeated in vain may still be the fault of this one file: a proxy may break off what it dislikes.
        is_unanswered = isinstance(error, TransportError) or (isinstance(error, ApiError) and error.status >= 500)
        if is_refusal or (is_unanswered and not await self._api.is_alive()):
            self._hopeless = self._hopeless or error

    def _fail(self, job: _Job, error: QueueClientError) -> None:
        self._finish(job, ItemResult(path=job.path, error=error))

    def _fail_all(self, jobs: Iterable[_Job], error: QueueClientError) -> None:
        for job in list(jobs):
            self._fail(job, error)

    def _finish(self, job: _Job, result: ItemResult) -> None:
        self._open.discard(job)
        self._results.put_nowait(
            replace(result, batch_id=job.batch_id, item_id=job.item_id, audio_s=job.audio_s),
        )
        if result.error is None:
            self._count(done=1, audio_s=job.audio_s or 0.0)
        else:
            self._count(failed=1)

    def _count(self, *, all_found: bool = False, audio_s: float = 0.0, **steps: int) -> None:
        old = self._progress
        self._progress = replace(
            old,
            all_found=old.all_found or all_found,
            audio_s=old.audio_s + audio_s,
            **{name: getattr(old, name) + step for name, step in steps.items()},
        )
        if self._options.on_progress:
            self._options.on_progress(self._progress)


async def _unwrapped(run: asyncio.Task[None]) -> None:
    """Wait for a task; what broke it, in however many task groups, is raised as itself."""
    try:
        await run
    except BaseExceptionGroup as group:
        cause: BaseException = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise cause from None
