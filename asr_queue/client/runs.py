"""Many sources through the contract at once, in bounded memory: recordings to transcribe, or texts to say.

    sources ─▶ upload ─▶ group ─▶ submit ─▶ poll ─▶ fetch ─▶ results
              parallel   <= 200             a task   parallel   as they come
                                            a batch

A source takes a slot before its upload begins, and gives it back when its result is handed to the caller; so what
waits anywhere is bounded, and an upload is submitted long before it expires. A caller that takes no result for half
an hour finds expired files. Exactly one result comes for every source, whatever fails. What differs between
recordings and texts is an `Errand`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Generic, Protocol, TypeVar
from uuid import uuid4

from asr_queue.client.caller import Caller
from asr_queue.client.errors import ApiError, BadAnswerError, DeadlineError, ItemFailedError, QueueClientError
from asr_queue.client.pacing import PollPolicy, PollTimer, is_retryable
from asr_queue.client.protocol import status_call, submit_call
from asr_queue.client.results import FileProgress, FileState, OnProgress, Progress, Result
from asr_queue.client.sources import OnSent
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import ItemStatus
from asr_queue.wire.api import ItemAnswer, SubmitItem

S = TypeVar("S")
"""A source: a path or a text."""
R = TypeVar("R", bound=Result)
S_contra = TypeVar("S_contra", contravariant=True)
R_co = TypeVar("R_co", bound=Result, covariant=True)

BATCH_ITEMS: Final = 200
"""Items a submit: the upper end of the usual size (the contract)."""
MAX_IN_FLIGHT: Final = 2_000
"""Sources that are between the beginning of their upload and the caller."""
_PARALLEL_UPLOADS: Final = 8
_PARALLEL_FETCHES: Final = 8
_LINGER_S: Final = 2.0
"""How long an upload waits for others to fill its batch, for each batch that is open already and once more."""
_LONGEST_LINGER_S: Final = 30.0
"""The bound of that; an upload would live for 30 minutes."""
_POLLS_A_SECOND: Final = 8
"""All batches together."""
_HOPELESS_STATUSES: Final = frozenset({401, 403})
_HOPELESS_CODES: Final = frozenset({"unknown_language", "unknown_operation", "operation_unavailable"})
"""Refusals that every other source would meet too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What holds for every batch of a run."""

    label: str = ""
    priority: Priority | str = Priority.NORMAL
    deadline_s: float | None = None
    on_progress: OnProgress | None = None


class Errand(Protocol[S_contra, R_co]):
    """What a run does for each of its sources."""

    @property
    def most_fetched(self) -> int:
        """How many fetched results may wait for the caller: they are held in memory."""

    @property
    def culprit_codes(self) -> frozenset[str]:
        """Refusals of a submit that are the fault of one of its items."""

    async def upload(self, source: S_contra, *, on_sent: OnSent | None) -> str:
        """Return the id of the upload that the source's item refers to; raises QueueClientError."""

    def item(self, source: S_contra, file_id: str) -> SubmitItem:
        """Return the item to submit."""

    async def fetch(self, source: S_contra, item: ItemAnswer) -> R_co:
        """Return what a finished item came to; raises QueueClientError."""

    def failed(self, source: S_contra, error: QueueClientError) -> R_co:
        """Return the result of a source that came to nothing."""

    def progress(
        self, source: S_contra, *, number: int, state: FileState, sent_bytes: int, size_bytes: int
    ) -> FileProgress | None:
        """Return how far a source has come; None where it is no file."""


@dataclass(slots=True, eq=False)
class _Job(Generic[S]):
    """One source on its way."""

    source: S
    number: int
    state: FileState = FileState.UPLOADING
    file_id: str = ""
    uploaded_at_s: float = 0.0
    batch_id: str | None = None
    item_id: str | None = None
    audio_s: float | None = None
    device_s: float | None = None
    cost_usd: float | None = None


class Run(Generic[S, R]):
    """One run over many sources."""

    def __init__(
        self, caller: Caller, poll: PollPolicy, sources: Iterable[S], errand: Errand[S, R], options: RunOptions
    ) -> None:
        self._caller = caller
        self._poll = poll
        self._sources = iter(sources)
        self._errand = errand
        self._options = options
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._uploaded: asyncio.Queue[_Job[S] | None] = asyncio.Queue()
        self._results: asyncio.Queue[R | None] = asyncio.Queue()
        self._fetched = asyncio.Semaphore(errand.most_fetched)
        self._fetches = asyncio.Semaphore(_PARALLEL_FETCHES)
        self._open: set[_Job[S]] = set()
        self._open_batches = 0
        self._ends_at_s: dict[str, float | None] = {}
        """When each open batch will be finished, as the server expects (monotonic)."""
        self._hopeless: QueueClientError | None = None
        self._progress = Progress()

    async def results(self) -> AsyncGenerator[R, None]:
        """Yield one result a source, as they come; closing the iterator stops everything."""
        run = asyncio.create_task(self._run())
        try:
            while (result := await self._results.get()) is not None:
                yield result
                self._slots.release()
                if result.error is None:
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

    async def _next_job(self) -> _Job[S] | None:
        """Wait for a slot and take the next source; None where there is none."""
        await self._slots.acquire()
        try:
            source = next(self._sources)
        except StopIteration:
            self._slots.release()
            return None
        job = _Job(source, self._progress.started + 1)
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
                job.file_id = await self._errand.upload(job.source, on_sent=on_sent)
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
        group: list[_Job[S]] = []
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

    async def _submit(self, group: list[_Job[S]], tasks: asyncio.TaskGroup) -> None:
        """Submit a group; where one of its items is refused, in halves, so that only that one fails."""
        if self._hopeless:
            self._fail_all(group, self._hopeless)
            return
        items = [self._errand.item(job.source, job.file_id) for job in group]
        try:
            call = submit_call(
                items, label=self._options.label, priority=self._options.priority, idempotency_key=uuid4().hex
            )
            answer = await self._caller.call(call)
        except QueueClientError as error:
            if error.code in self._errand.culprit_codes and len(group) > 1:
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

    async def _follow(self, batch_id: str, jobs: dict[str, _Job[S]], tasks: asyncio.TaskGroup) -> None:
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

    def _settle(self, items: Iterable[ItemAnswer], jobs: dict[str, _Job[S]], tasks: asyncio.TaskGroup) -> None:
        """Take what is final out of `jobs`: fail it, or begin to fetch what it came to."""
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

    async def _fetch(self, job: _Job[S], item: ItemAnswer) -> None:
        await self._fetched.acquire()  # given back when the caller has taken the result
        try:
            async with self._fetches:
                result = await self._errand.fetch(job.source, item)
        except QueueClientError as error:
            self._fetched.release()
            self._fail(job, error)
            return
        self._finish(job, result)

    # -- the ends ------------------------------------------------------------------------------------------------

    async def _judge(self, error: QueueClientError) -> None:
        """Decide whether a failure means that no other source can fare better."""
        is_refusal = isinstance(error, ApiError) and (
            error.status in _HOPELESS_STATUSES or error.code in _HOPELESS_CODES
        )
        # What was repeated in vain may still be the fault of this one source: a proxy may break off what it dislikes.
        if is_refusal or (is_retryable(error) and not await self._is_alive()):
            self._hopeless = self._hopeless or error

    async def _is_alive(self) -> bool:
        try:
            await self._caller.check_access()
        except QueueClientError:
            return False
        return True

    def _fail(self, job: _Job[S], error: QueueClientError) -> None:
        self._finish(job, self._errand.failed(job.source, error))

    def _fail_all(self, jobs: Iterable[_Job[S]], error: QueueClientError) -> None:
        for job in list(jobs):
            self._fail(job, error)

    def _finish(self, job: _Job[S], result: R) -> None:
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

    def _move(self, job: _Job[S], state: FileState, **steps: float) -> None:
        """Note where a source is now, add to the counts, and tell the caller."""
        job.state = state
        moved = {name: getattr(self._progress, name) + step for name, step in steps.items()}
        self._progress = replace(self._progress, **moved)
        self._tell(job)

    def _tell(self, job: _Job[S], sent_bytes: int = 0, size_bytes: int = 0) -> None:
        if self._options.on_progress:
            file = self._errand.progress(
                job.source, number=job.number, state=job.state, sent_bytes=sent_bytes, size_bytes=size_bytes
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
