"""The pipe: a thread or pool a stage, a queue between each two, and how all of it starts, stops and breaks.

    receive ──▶ prepare ──▶ MicroBatcher ──▶ infer ──▶ assemble ──▶ publish ──▶ record and ack
    1 thread    8 threads                    1 thread  1 thread     8 threads   1 thread
                └ decoding processes         └ owns the engine

    beside them: the heartbeat, which keeps every lease, the watchdog, which limits every pass, and the reports that
    the worker makes on itself.

What is in the pipe is bounded where it enters: receive pauses while three micro-batches of items are held, so the
queues need no bound of their own and no stage can block another one. A failed item is a value that skips to assemble
and goes on from there. Memory: files while they are fetched, and samples in mapped files (MicroBatcher.wait_for_room).
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

from asr_queue.errors import AsrQueueError, RetryableError
from asr_queue.ports import Clock, ItemTable, NoticeQueue, ObjectStore, WorkerRegistry, WorkQueue
from gpu_worker.engine import SpeechEngine
from gpu_worker.leases import Leases
from gpu_worker.meter import Meter
from gpu_worker.pipeline.assemble import Assembler, add_spent
from gpu_worker.pipeline.backoff import delays_s
from gpu_worker.pipeline.batch import MicroBatcher
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.pipeline.infer import infer
from gpu_worker.pipeline.pass_watch import PassWatch
from gpu_worker.pipeline.prepare import prepare
from gpu_worker.pipeline.publish import Ended, Publisher
from gpu_worker.pipeline.receive import claim, receive
from gpu_worker.pipeline.scratch import scratch_folder
from gpu_worker.protection import TaskProtection
from gpu_worker.reporting import keep_reporting
from gpu_worker.settings import WorkerSettings
from gpu_worker.work import Assembled, Chunk, Claimed, Failed, Received, Recognised

_logger = logging.getLogger(__name__)

STATUS_BROKEN: Final = 1
"""Exit status of a worker one of whose stages died."""
STATUS_STUCK: Final = 75
"""Exit status of a worker whose pass did not end in time (EX_TEMPFAIL): start it again."""

_MICRO_BATCHES_HELD: Final = 3
"""One in the engine, one ready, one being prepared: enough to keep it fed; more would be hidden from other workers."""
_RECEIVED_AT_ONCE: Final = 10
"""Most that SQS hands out (ReceiveMessage reference)."""
_LONG_POLL_S: Final = 2
"""A stopping worker must wait for its last receive, or what that brings stays hidden. 30 calls a minute when idle."""
_LAST_RECEIVE_S: Final = 5.0
"""How long a stopping worker waits for that; a queue that does not answer must not keep it."""
_LAST_REPORT_S: Final = 2.0
"""How long it waits for its reports to end; one that was left unsaid is forgotten in seconds anyway."""
_IO_THREADS: Final = 8
"""Calls to the store and the table that wait at the same time, at each end of the pipe."""
_RECORDED_AT_ONCE: Final = 16
_WATCH_S: Final = 0.2
_BUG: Final = RetryableError("internal_error", "The worker failed at this item.")


class Flow:
    """One worker's pipe. Make it, `run` it once; `stop` may be called at any time, from a signal handler too."""

    def __init__(
        self,
        *,
        engine: SpeechEngine,
        store: ObjectStore,
        work_queue: WorkQueue,
        table: ItemTable,
        registry: WorkerRegistry,
        clock: Clock,
        settings: WorkerSettings,
        notice_queue: NoticeQueue | None = None,
        protection: TaskProtection | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._work_queue = work_queue
        self._table = table
        self._registry = registry
        self._notice_queue = notice_queue
        self._clock = clock
        self._settings = settings
        self._protection = protection
        self._most_chunks = min(settings.micro_batch, engine.limits.max_micro_batch)

        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._may_receive = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._is_broken = False

        self._leases = Leases(work_queue, visibility_timeout_s=settings.visibility_timeout_s)
        self._preparing = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="prepare")
        self._batcher = MicroBatcher(most=self._most_chunks)
        self._watch = PassWatch()
        self._meter = Meter(engine=settings.engine, micro_batch_max=self._most_chunks, clock=clock)
        self._results: queue.SimpleQueue[Recognised | Failed | None] = queue.SimpleQueue()
        self._publishing = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="publish")
        self._ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()
        self._publisher = Publisher(
            store=store,
            table=table,
            clock=clock,
            leases=self._leases,
            file_ttl_s=settings.file_ttl_s,
            notices=notice_queue,
            patience_s=settings.visibility_timeout_s,
            stopping=self._stopping,
        )

    def stop(self) -> None:
        """Ask the pipe to stop; returns at once."""
        # The one call of the standard library's queues and events that a signal handler may make (SimpleQueue.put).
        self._wake.put(None)

    def run(self) -> int:
        """Load the engine, take work until stopped, and return the exit status: 0, or 1 where a stage died.

        On the way out, what is not in the pass that runs is handed back at once; the pass ends, and its items are
        published and acknowledged. A pass that exceeds its limit ends the process with status 75.
        """
        settings = self._settings
        with (
            scratch_folder() as folder,
            Decoder(
                folder,
                processes=settings.decode_processes,
                timeout_s=settings.decode_timeout_s,
                sample_rate_hz=self._engine.limits.sample_rate_hz,
                max_audio_s=settings.max_audio_s,
            ) as decoder,
        ):
            self._start("heartbeat", self._keep_leases)
            if (protection := self._protection) is not None:
                self._start("protection", lambda: self._keep_protection(protection))
            reporting = self._start("report", self._report)
            receiving = self._start("receive", lambda: self._receive(decoder))
            self._start("watchdog", lambda: self._watch_passes(receiving))
            later_stages = [
                self._start("infer", self._infer),
                self._start("assemble", self._assemble),
                self._start("record", self._record),
            ]
            self._wake.get()
            _logger.info("worker_stopping", extra={"held": len(self._leases.held())})
            self._stop_receiving(receiving)
            self._preparing.shutdown(wait=False, cancel_futures=True)
            decoder.close()
            if not self._is_broken:
                self._drain(*later_stages)
            self._publishing.shutdown(wait=False, cancel_futures=True)
            self._leases.give_back(self._leases.held(), visibility_s=0)
            self._finished.set()
            reporting.join(_LAST_REPORT_S)
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
        _logger.info("worker_stopped", extra={"is_broken": self._is_broken})
        return STATUS_BROKEN if self._is_broken else 0

    def _stop_receiving(self, receiving: threading.Thread) -> None:
        """Take nothing more, and hand back what is not past the batcher: at once, and what the last receive brings."""
        self._stopping.set()
        self._may_receive.set()
        self._leases.give_back(self._batcher.close(), visibility_s=0)
        receiving.join(_LAST_RECEIVE_S)

    def _drain(self, inferring: threading.Thread, assembling: threading.Thread, recording: threading.Thread) -> None:
        """Let what is past the batcher run to its end, stage by stage."""
        inferring.join()
        self._results.put(None)
        assembling.join()
        self._publishing.shutdown()
        self._ended.put(None)
        recording.join()

    def _start(self, name: str, loop: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(name, loop), name=name, daemon=True)
        thread.start()
        return thread

    def _guard(self, name: str, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception:
            # Without any one of its threads the pipe would hold messages and never end them.
            _logger.exception("stage_died", extra={"stage": name})
            self._is_broken = True
            self.stop()

    # -- receive and prepare -----------------------------------------------------------------------------------

    def _receive(self, decoder: Decoder) -> None:
        at_once = min(_RECEIVED_AT_ONCE, self._most_chunks)
        most = _MICRO_BATCHES_HELD * self._most_chunks
        waits_s = delays_s()
        self._may_receive.wait()
        while not self._stopping.is_set():
            self._show_progress()
            if not self._leases.wait_for_room(at_once, most=most, timeout_s=_WATCH_S):
                continue
            try:
                received = receive(self._work_queue, self._leases, max_messages=at_once, wait_s=_LONG_POLL_S)
            except RetryableError as error:
                _logger.warning("receive_failed", extra={"code": error.code})
                self._stopping.wait(next(waits_s))
                continue
            waits_s = delays_s()
            for one in received:
                self._admit(one, decoder)

    def _show_progress(self) -> None:
        """Say that work is taken: the file's time is what `gpu_worker.health` looks at."""
        if self._settings.ready_file is not None:
            self._settings.ready_file.touch()

    def _admit(self, received: Received, decoder: Decoder) -> None:
        if self._batcher.expect(received.delivery.receipt_handle):
            self._preparing.submit(self._prepare, received, decoder)
        else:
            self._leases.give_back([received.delivery.receipt_handle], visibility_s=0)

    def _prepare(self, received: Received, decoder: Decoder) -> None:
        key = received.delivery.receipt_handle
        self._batcher.wait_for_room()
        if not self._leases.holds(key):
            return
        work: Received | Claimed = received
        try:
            claimed = claim(
                received,
                table=self._table,
                clock=self._clock,
                file_ttl_s=self._settings.file_ttl_s,
                notices=self._notice_queue,
            )
            if claimed is None:
                self._batcher.withdraw(key)
                self._leases.acknowledge([key])
                return
            work = claimed
            self._batcher.put(prepare(claimed, store=self._store, decoder=decoder, engine=self._engine))
        except AsrQueueError as error:
            self._fail(work, error)
        except Exception:
            _logger.exception("prepare_bug", extra={"item_id": received.message.item_id})
            self._fail(work, _BUG)

    def _fail(self, work: Received | Claimed, error: AsrQueueError) -> None:
        if not self._leases.holds(work.delivery.receipt_handle):
            return
        self._batcher.withdraw(work.delivery.receipt_handle)
        if isinstance(work, Claimed):
            self._results.put(Failed(claimed=work, error=error))
        else:
            self._publisher.retry_later(work, error)

    # -- infer -------------------------------------------------------------------------------------------------

    def _infer(self) -> None:
        self._engine.load()
        self._show_progress()
        _logger.info("worker_ready", extra={"engine": self._settings.engine, "micro_batch": self._most_chunks})
        self._may_receive.set()
        idle_since_s = time.monotonic()
        while (chunks := self._batcher.take()) is not None:
            self._run_pass(chunks, idle_s=time.monotonic() - idle_since_s)
            idle_since_s = time.monotonic()
        self._engine.unload()

    def _run_pass(self, chunks: Sequence[Chunk], *, idle_s: float) -> None:
        audio_s = sum(chunk.duration_s for chunk in chunks)
        self._watch.start(chunk.claimed.key for chunk in chunks)
        self._meter.pass_began()
        outcomes = infer(chunks, self._engine)
        self._meter.pass_ended(audio_s=audio_s, chunks=len(chunks))
        run_s = self._watch.stop()
        failed: dict[str, Failed] = {}
        for outcome in outcomes:
            if isinstance(outcome, Recognised):
                self._results.put(outcome)
            else:
                before = failed.get(outcome.claimed.key)
                failed[outcome.claimed.key] = outcome if before is None else add_spent(before, outcome)
        # Last, so that nothing of a failed item follows its failure.
        for key, failure in failed.items():
            self._batcher.withdraw(key)
            self._results.put(failure)
        _logger.info(
            "micro_batch_done",
            extra={
                "micro_batch_id": str(uuid4()),
                "item_ids": sorted({chunk.claimed.item.item_id for chunk in chunks}),
                "chunks": len(chunks),
                "fill": len(chunks) / self._most_chunks,
                "failed": len(failed),
                "audio_s": audio_s,
                "longest_s": max(chunk.duration_s for chunk in chunks),
                "run_s": run_s,
                "idle_s": idle_s,
            },
        )

    # -- assemble, publish, record -----------------------------------------------------------------------------

    def _assemble(self) -> None:
        assembler = Assembler()
        while (result := self._results.get()) is not None:
            if isinstance(result, Failed):
                self._publishing.submit(self._publish, assembler.drop(result))
            elif (assembled := assembler.add(result)) is not None:
                self._publishing.submit(self._publish, assembled)

    def _publish(self, end: Assembled | Failed) -> None:
        try:
            ended = self._publisher.write(end)
        except Exception:
            _logger.exception("publish_bug", extra={"item_id": end.claimed.item.item_id})
            self._publisher.retry_later(end.claimed, _BUG)
        else:
            if ended is not None:
                self._ended.put(ended)

    def _record(self) -> None:
        is_open = True
        while is_open:
            group = [self._ended.get()]
            while len(group) < _RECORDED_AT_ONCE and not self._ended.empty():
                group.append(self._ended.get())
            is_open = None not in group
            ended = [one for one in group if one is not None]
            try:
                if ended:
                    self._record_all(ended)
            except Exception:
                _logger.exception("record_bug", extra={"items": len(ended)})
                for one in ended:
                    self._record_alone(one)

    def _record_alone(self, ended: Ended) -> None:
        try:
            self._record_all([ended])
        except Exception:
            _logger.exception("record_bug", extra={"item_id": ended.claimed.item.item_id})
            self._publisher.retry_later(ended.claimed, _BUG)

    def _record_all(self, ended: Sequence[Ended]) -> None:
        if self._publisher.record(ended):
            for one in ended:
                self._meter.item_ended(audio_s=one.outcome.audio_s or 0.0)

    # -- beside the stages -------------------------------------------------------------------------------------

    def _keep_leases(self) -> None:
        self._leases.keep_alive(heartbeat_s=self._settings.heartbeat_s, until=self._finished)

    def _report(self) -> None:
        keep_reporting(
            self._registry, lambda: self._meter.report(held_items=len(self._leases.held())), until=self._finished
        )

    def _keep_protection(self, protection: TaskProtection) -> None:
        protection.keep(lambda: bool(self._leases.held()), until=self._finished)

    def _watch_passes(self, receiving: threading.Thread) -> None:
        limit_s = self._settings.pass_timeout_s
        while not self._finished.wait(_WATCH_S):
            if keys := self._watch.overdue(limit_s):
                _logger.critical("pass_time_limit", extra={"limit_s": limit_s, "items": len(keys)})
                # Otherwise this worker would receive at once what it hands back.
                self._stop_receiving(receiving)
                # The pass's own items come back when their leases end, and then ride alone.
                rest = [handle for handle in self._leases.held() if handle not in keys]
                self._leases.give_back(rest, visibility_s=0)
                # A pass that hangs in the device's driver can be ended in no other way.
                os._exit(STATUS_STUCK)
