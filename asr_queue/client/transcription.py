"""Many files through the contract at once, in bounded memory.

    sources ─▶ upload ─▶ group ─▶ submit ─▶ poll ─▶ fetch ─▶ results
              parallel   <= 200             a task   parallel   as they come
                                            a batch

A file takes a slot before its upload begins, and gives it back when its result is handed to the caller; so what
waits anywhere is bounded, and an upload is submitted long before it expires. A caller that takes no result for half
an hour finds expired transcripts. Exactly one result comes for every source, whatever fails.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from asr_queue.client.caller import Caller
from asr_queue.client.errors import ApiError, BadAnswerError, DeadlineError, ItemFailedError, QueueClientError
from asr_queue.client.pacing import PollPolicy, PollTimer, is_retryable
from asr_queue.client.protocol import displayable, fetch_call, status_call, submit_call, transcribe_item
from asr_queue.client.results import FileProgress, FileState, ItemResult, OnProgress, Progress
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import ItemStatus
from asr_queue.wire.api import ItemAnswer

BATCH_ITEMS: Final = 200
"""Items a submit: the upper end of the usual size (the contract)."""
MAX_IN_FLIGHT: Final = 2_000
"""Files that are between the beginning of their upload and the caller."""
MAX_FETCHED: Final = 64
"""Transcripts that wait for the caller: those of long recordings are large."""
_PARALLEL_UPLOADS: Final = 8
_PARALLEL_FETCHES: Final = 8
_LINGER_S: Final = 2.0
"""How long an upload waits for others to fill its batch, for each batch that is open already and once more."""
_LONGEST_LINGER_S: Final = 30.0
"""The bound of that; an upload would live for 30 minutes."""
_POLLS_A_SECOND: Final = 8
"""All batches together."""
_CULPRIT_CODES: Final = frozenset({"file_not_found", "file_expired"})
"""Refusals of a submit that are the fault of one of its items."""
_HOPELESS_STATUSES: Final = frozenset({401, 403})
_HOPELESS_CODES: Final = frozenset({"unknown_language", "unknown_operation", "operation_unavailable"})
"""Refusals that every other file would meet too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeOptions:
    """How to transcribe many files."""

    language: str = "auto"
    timestamps: bool = False
    prompt: str = ""
    label: str = ""
    priority: Priority | str = Priority.NORMAL
    deadline_s: float | None = None
    on_progress: OnProgress | None = None


@dataclass(slots=True, eq=False)
class _Job:
    """One source on its way."""

    path: Path
    number: int
    state: FileState = FileState.UPLOADING
    file_id: str = ""
    uploaded_at_s: float = 0.0
    batch_id: str | None = None
    item_id: str | None = None
    audio_s: float | None = None
    device_s: float | None = None
    cost_usd: float | None = None


class Transcription:
    """One run over many files."""

    def __init__(
        self, caller: Caller, poll: PollPolicy, paths: Iterable[str | Path], options: TranscribeOptions
    ) -> None:
        self._caller = caller
        self._poll = poll
        self._paths = iter(paths)
        self._options = options
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._uploaded: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._results: asyncio.Queue[ItemResult | None] = asyncio.Queue()
        self._fetched = asyncio.Semaphore(MAX_FETCHED)
        self._fetches = asyncio.Semaphore(_PARALLEL_FETCHES)
        self._open: set[_Job] = set()
        self._open_batches = 0
        self._ends_at_s: dict[str, float | None] = {}
        """When each open batch will be finished, as the server expects (monotonic)."""
        self._hopeless: QueueClientError | None = None
        self._progress = Progress()

    async def results(self) -> AsyncGenerator[ItemResult, None]:
        """Yield one result a source, as they come; closing the iterator stops everything."""
        run = asyncio.create_task(self._run())
        try:
            while (result := await self._results.get()) is not None:
                yield result
                self._slots.release()
                if result.transcript is not None:
                    self._fetched.release()
            await _unwrapped(run)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    # -- the stages ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._options.deadline_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._upload_all())
                tasks.create_task(self._submit_all(tasks))
        except TimeoutError:
            error = DeadlineError(f"not done within {self._options.deadline_s:g} s")
            self._fail_all(self._open, error)
            while (job := await self._next_job()) is not None:
                self._fail(job, error)
        finally:
            self._results.put_nowait(None)

    async def _next_job(self) -> _Job | None:
        """Wait for a slot and take the next source; None where there is none."""
        await self._slots.acquire()
        path = next(self._paths, None)
        if path is None:
            self._slots.release()
            return None
        job = _Job(Path(path), self._progress.started + 1)
        self._open.add(job)
        self._move(job, FileState.UPLOADING, started=1)
        return job

    async def _upload_all(self) -> None:
        async with asyncio.TaskGroup() as uploaders:
            for _ in range(_PARALLEL_UPLOADS):
                uploaders.create_task(self._upload_some())
        self._uploaded.put_nowait(None)

    async def _upload_some(self) -> None:
        while (job := await self._next_job()) is not None:
            if self._hopeless:
                self._fail(job, self._hopeless)
                continue
            on_sent = partial(self._tell, job) if self._options.on_progress else None
            try:
                job.file_id = (await self._caller.upload(job.path, on_sent=on_sent)).file_id
            except QueueClientError as error:
                await self._judge(error)
                self._fail(job, error)
                continue
            job.uploaded_at_s = time.monotonic()
            self._move(job, FileState.UPLOADED, uploaded=1)
            self._uploaded.put_nowait(job)

    async def _submit_all(self, tasks: asyncio.TaskGroup) -> None:
        """Submit when a batch is full, when no more uploads come, or when its oldest has waited long enough.

        The more batches are open, the longer it waits: many small batches would mean many polls.
        """
        group: list[_Job] = []
        is_last = False
        while not is_last:
            linger_s = None
            if group:
                linger_s = min(_LINGER_S * (1 + self._open_batches), _LONGEST_LINGER_S)
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
                prompt=self._options.prompt,
                custom_id=displayable(job.path.name),
            )
            for job in group
        ]
        try:
            call = submit_call(
                items, label=self._options.label, priority=self._options.priority, idempotency_key=uuid4().hex
            )
            answer = await self._caller.call(call)
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
            self._move(job, FileState.QUEUED, submitted=1)
        tasks.create_task(self._follow(answer.batch_id, {str(job.item_id): job for job in group}, tasks))

    async def _follow(self, batch_id: str, jobs: dict[str, _Job], tasks: asyncio.TaskGroup) -> None:
        """Poll a batch until each of its items is settled; `jobs` holds those that are not."""
        self._open_batches += 1
        timer = PollTimer(self._poll)
        wait_s = timer.next_wait_s(has_moved=False)
        before: tuple[int, ...] = ()
        try:
            while jobs:
                await asyncio.sleep(wait_s)
                batch = await self._caller.call(status_call(batch_id))
                left_s = batch.estimate.seconds_left if batch.estimate else None
                self._ends_at_s[batch_id] = None if left_s is None else time.monotonic() + left_s
                states = [item.status for item in batch.items]
                now = tuple(states.count(status) for status in ItemStatus)
                self._settle(batch.items, jobs, tasks)
                if jobs and batch.completed + batch.failed == batch.total:
                    raise BadAnswerError(f"batch {batch_id} is finished, but says nothing of {len(jobs)} of its items")
                wait_s = timer.next_wait_s(
                    has_moved=bool(before) and now != before,
                    at_least_s=self._open_batches / _POLLS_A_SECOND,
                )
                before = now
        except QueueClientError as error:
            self._fail_all(jobs.values(), error)
        finally:
            self._open_batches -= 1
            self._ends_at_s.pop(batch_id, None)

    def _settle(self, items: Iterable[ItemAnswer], jobs: dict[str, _Job], tasks: asyncio.TaskGroup) -> None:
        """Take what is final out of `jobs`: fail it, or begin to fetch its transcript."""
        for item in items:
            if (job := jobs.get(item.item_id)) is None:
                continue
            if not item.status.is_final:
                # A worker that has given an item up leaves it queued again.
                if job.state != (state := FileState(item.status)):
                    self._move(job, state)
                continue
            del jobs[item.item_id]
            job.audio_s, job.device_s, job.cost_usd = item.audio_s, item.device_s, item.cost_usd
            if item.status is ItemStatus.ERROR:
                self._fail(job, ItemFailedError(item.error_code or "item_failed", item.error or "no reason was given"))
            elif item.url:
                self._move(job, FileState.FETCHING)
                tasks.create_task(self._fetch(job, item))
            else:
                self._fail(job, BadAnswerError(f"item {item.item_id} is done but has no url"))

    async def _fetch(self, job: _Job, item: ItemAnswer) -> None:
        await self._fetched.acquire()  # given back when the caller has taken the transcript
        try:
            async with self._fetches:
                transcript = await self._caller.call(fetch_call(item))
        except QueueClientError as error:
            self._fetched.release()
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
        if is_refusal or (is_retryable(error) and not await self._is_alive()):
            self._hopeless = self._hopeless or error

    async def _is_alive(self) -> bool:
        try:
            await self._caller.check_access()
        except QueueClientError:
            return False
        return True

    def _fail(self, job: _Job, error: QueueClientError) -> None:
        self._finish(job, ItemResult(path=job.path, error=error))

    def _fail_all(self, jobs: Iterable[_Job], error: QueueClientError) -> None:
        for job in list(jobs):
            self._fail(job, error)

    def _finish(self, job: _Job, result: ItemResult) -> None:
        self._open.discard(job)
        self._results.put_nowait(
            replace(
                result,
                batch_id=job.batch_id,
                item_id=job.item_id,
                audio_s=job.audio_s,
                device_s=job.device_s,
                cost_usd=job.cost_usd,
            )
        )
        if result.error is None:
            self._move(job, FileState.DONE, done=1, audio_s=job.audio_s or 0.0)
        else:
            self._move(job, FileState.FAILED, failed=1)

    def _move(self, job: _Job, state: FileState, **steps: float) -> None:
        """Note where a file is now, add to the counts, and tell the caller."""
        job.state = state
        moved = {name: getattr(self._progress, name) + step for name, step in steps.items()}
        self._progress = replace(self._progress, **moved)
        self._tell(job)

    def _tell(self, job: _Job, sent_bytes: int = 0, size_bytes: int = 0) -> None:
        if self._options.on_progress:
            file = FileProgress(
                number=job.number, path=job.path, state=job.state, sent_bytes=sent_bytes, size_bytes=size_bytes
            )
            self._options.on_progress(replace(self._progress, file=file, seconds_left=self._left_s()))

    def _left_s(self) -> float | None:
        """Return how long the last of the open batches will take; None where the server does not tell of each."""
        ends_at_s = [at for at in self._ends_at_s.values() if at is not None]
        if not ends_at_s or len(ends_at_s) < len(self._ends_at_s):
            return None
        return max(0.0, max(ends_at_s) - time.monotonic())


async def _unwrapped(run: asyncio.Task[None]) -> None:
    """Wait for a task; what broke it, in however many task groups, is raised as itself."""
    try:
        await run
    except BaseExceptionGroup as group:
        cause: BaseException = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise cause from None
