"""The pipe: a thread or pool a stage, a queue between each two, and how all of it starts, stops and breaks.

    receive ──▶ prepare ──▶ MicroBatcher ──▶ infer ──▶ assemble ──▶ publish ──▶ record and ack
    1 thread    8 threads                    1 thread  1 thread     8 threads   1 thread
                └ decoding processes         └ owns the device

    What of it differs between operations is in their families (families.py); which of them is received from, and whose
    chunks go next, Dispatch decides.

    beside them: the heartbeat, which keeps every lease, the watchdog, which limits every pass, and the reports that
    the worker makes on itself.

What is in the pipe is bounded where it enters: receive pauses while three micro-batches of an operation are held, so
the queues need no bound of their own and no stage can block another one. A failed item is a value that skips to
assemble and goes on from there. Memory: files while they are fetched, and samples in mapped files
(MicroBatcher.wait_for_room).
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

from asr_queue.adapters.queue_group import QueueGroup
from asr_queue.domain.items import Operation
from asr_queue.errors import AsrQueueError, EngineBrokenError, EngineLoadError, RetryableError
from asr_queue.ports import Clock, ItemTable, NoticeQueue, ObjectStore, WorkerRegistry, WorkQueues
from gpu_worker.leases import Leases
from gpu_worker.meter import Meter
from gpu_worker.model_host import ModelHost
from gpu_worker.pipeline.assemble import Assembler, add_spent
from gpu_worker.pipeline.backoff import delays_s
from gpu_worker.pipeline.batch import MicroBatcher
from gpu_worker.pipeline.decode import Decoder
from gpu_worker.pipeline.dispatch import Choose, Dispatch
from gpu_worker.pipeline.families import Family
from gpu_worker.pipeline.infer import infer
from gpu_worker.pipeline.pass_watch import PassWatch
from gpu_worker.pipeline.publish import Ended, Publisher
from gpu_worker.pipeline.receive import claim, hold
from gpu_worker.pipeline.scratch import scratch_folder
from gpu_worker.protection import TaskProtection
from gpu_worker.reporting import keep_reporting
from gpu_worker.scheduler import choose
from gpu_worker.settings import WorkerSettings
from gpu_worker.work import Assembled, Chunk, Claimed, Failed, Processed, Received

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
_SHORT_POLL_S: Final = 1
"""With several operations: so long the others are not looked at."""
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
        families: Sequence[Family],
        store: ObjectStore,
        queues: WorkQueues,
        table: ItemTable,
        registry: WorkerRegistry,
        clock: Clock,
        settings: WorkerSettings,
        notice_queue: NoticeQueue | None = None,
        protection: TaskProtection | None = None,
        policy: Choose = choose,
    ) -> None:
        """Take what the pipe is made of.

        Args:
            families: of the operations to take, at least one.
            store: where recordings are, and results go.
            queues: those of the families' operations at least.
            table: where items and files are.
            registry: who is told of this worker.
            clock: says when things happen.
            settings: of the worker.
            notice_queue: who learns of finished batches at once.
            protection: keeps ECS from ending the task while anything is held.
            policy: which operation's turn it is.
        """
        self._families = {family.operation: family for family in families}
        self._store = store
        self._table = table
        self._registry = registry
        self._notice_queue = notice_queue
        self._clock = clock
        self._settings = settings
        self._protection = protection
        self._most_chunks = {
            operation: min(settings.micro_batch, family.engine.limits.max_micro_batch)
            for operation, family in self._families.items()
        }

        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._may_receive = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._is_broken = False

        mine = {operation: queues[operation] for operation in self._families}
        self._queues = QueueGroup(mine)
        self._leases = Leases(self._queues, visibility_timeout_s=settings.visibility_timeout_s)
        self._preparing = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="prepare")
        self._host = ModelHost(
            {operation: family.engine for operation, family in self._families.items()},
            memory_bytes=settings.device_memory_bytes,
        )
        self._dispatch = Dispatch(mine, self._host, clock=clock, bound_s=settings.family_wait_s, policy=policy)
        self._batcher = MicroBatcher(most=self._most_chunks, choose=self._dispatch.next_pass)
        self._watch = PassWatch()
        self._meter = Meter(
            engine=" + ".join(filter(None, [settings.engine, settings.voice_engine])),
            micro_batch_max=max(self._most_chunks.values()),
            clock=clock,
        )
        self._results: queue.SimpleQueue[Processed[Any, Any] | Failed | None] = queue.SimpleQueue()
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
        """Load the models, take work until stopped, and return the exit status: 0, or 1 where a stage died.

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
        waits_s = delays_s()
        self._may_receive.wait()
        while not self._stopping.is_set():
            self._show_progress()
            try:
                operation = self._dispatch.next_queue()
                if not self._has_room(operation):
                    continue
                received = self._receive_from(operation)
            except RetryableError as error:
                _logger.warning("receive_failed", extra={"code": error.code})
                self._stopping.wait(next(waits_s))
                continue
            waits_s = delays_s()
            for one in received:
                self._admit(one, operation, decoder)

    def _has_room(self, operation: Operation) -> bool:
        most_chunks = self._most_chunks[operation]
        # What is fetched while another model is on the device would be hidden from workers that have the right one.
        micro_batches = _MICRO_BATCHES_HELD if self._dispatch.is_current(operation) else 1
        return self._leases.wait_for_room(
            min(_RECEIVED_AT_ONCE, most_chunks),
            most=micro_batches * most_chunks,
            timeout_s=_WATCH_S,
            prefix=f"{operation}:",
        )

    def _receive_from(self, operation: Operation) -> list[Received]:
        at_once = min(_RECEIVED_AT_ONCE, self._most_chunks[operation])
        wait_s = _LONG_POLL_S if len(self._families) == 1 else _SHORT_POLL_S
        deliveries = self._queues.receive(operation, max_messages=at_once, wait_s=wait_s)
        self._dispatch.received(operation, deliveries, wanted=at_once)
        return hold(deliveries, self._leases)

    def _show_progress(self) -> None:
        """Say that work is taken: the file's time is what `gpu_worker.health` looks at."""
        if self._settings.ready_file is not None:
            self._settings.ready_file.touch()

    def _admit(self, received: Received, operation: Operation, decoder: Decoder) -> None:
        if self._batcher.expect(received.delivery.receipt_handle, operation):
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
            family = self._families[claimed.item.operation]
            self._batcher.put(family.prepare(claimed, store=self._store, decoder=decoder))
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
        self._host.load()
        self._show_progress()
        _logger.info(
            "worker_ready", extra={"engine": self._settings.engine, "voice_engine": self._settings.voice_engine}
        )
        self._may_receive.set()
        idle_since_s = time.monotonic()
        while (chunks := self._batcher.take()) is not None:
            self._run_pass(chunks, idle_s=time.monotonic() - idle_since_s)
            idle_since_s = time.monotonic()
        self._host.unload()

    def _run_pass(self, chunks: Sequence[Chunk], *, idle_s: float) -> None:
        audio_s = sum(chunk.duration_s for chunk in chunks)
        operation = chunks[0].operation
        self._watch.start(chunk.claimed.key for chunk in chunks)
        self._dispatch.pass_begins(operation)
        try:
            swap_s = self._host.admit(operation)
        except EngineLoadError as error:
            self._watch.stop()
            self._hand_back(chunks, error)
            return
        self._meter.pass_began()
        began_s = time.monotonic()
        outcomes = infer(chunks, self._families[operation].engine, make_room=lambda: self._host.make_room(operation))
        self._dispatch.pass_ended(operation, pass_s=time.monotonic() - began_s)
        self._meter.pass_ended(audio_s=audio_s, chunks=len(chunks))
        run_s = self._watch.stop()
        failed: dict[str, Failed] = {}
        for outcome in outcomes:
            if isinstance(outcome, Processed):
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
                "operation": operation,
                "swap_s": swap_s,
                "fill": len(chunks) / self._most_chunks[operation],
                "failed": len(failed),
                "audio_s": audio_s,
                "longest_s": max(chunk.duration_s for chunk in chunks),
                "run_s": run_s,
                "idle_s": idle_s,
            },
        )

    def _hand_back(self, chunks: Sequence[Chunk], error: EngineLoadError) -> None:
        """Let the items of chunks whose model cannot be had come again: to this worker, or to a better one.

        Raises:
            EngineBrokenError: no model can be had any more.
        """
        unavailable = RetryableError(error.code, error.message)
        for claimed in {chunk.claimed.key: chunk.claimed for chunk in chunks}.values():
            self._batcher.withdraw(claimed.key)
            self._results.put(Failed(claimed=claimed, error=unavailable))
        if not self._host.usable() and not self._host.resident():
            raise EngineBrokenError("None of the engines can be loaded any more.")

    # -- assemble, publish, record -----------------------------------------------------------------------------

    def _assemble(self) -> None:
        assembler = Assembler[Assembled](lambda parts: self._families[parts[0].chunk.operation].join(parts))
        while (result := self._results.get()) is not None:
            if isinstance(result, Failed):
                self._publishing.submit(self._publish, assembler.drop(result))
                continue
            claimed = result.chunk.claimed
            try:
                assembled = assembler.add(result)
            except Exception:
                _logger.exception("assemble_bug", extra={"item_id": claimed.item.item_id})
                self._publishing.submit(self._publish, Failed(claimed=claimed, error=_BUG))
            else:
                if assembled is not None:
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
            self._registry,
            lambda: self._meter.report(held_items=len(self._leases.held()), host=self._host.report()),
            until=self._finished,
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
