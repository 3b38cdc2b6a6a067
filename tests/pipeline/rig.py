"""A worker's flow over everything in memory."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.domain.items import Item, Operation
from asr_queue.errors import RetryableError
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from gpu_worker.engine import EngineSettings, SpeechEngine, VoiceEngine
from gpu_worker.engines.echo import EchoEngine
from gpu_worker.pipeline.dispatch import Choose
from gpu_worker.pipeline.families import Family
from gpu_worker.pipeline.flow import Flow
from gpu_worker.pipeline.speak import Speak
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.protection import TaskProtection
from gpu_worker.scheduler import choose
from gpu_worker.settings import WorkerSettings


class Switch:
    """Whether a service is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.refused = 0

    def check(self) -> None:
        if self.is_away:
            self.refused += 1
            raise RetryableError("service_unavailable", "The service is away.")


class SwitchedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads, self.writes = Switch(), Switch()

    def get(self, key: str) -> bytes | None:
        self.reads.check()
        return super().get(key)

    def put(self, key: str, data: bytes, *, content_type: str) -> None:
        self.writes.check()
        super().put(key, data, content_type=content_type)


class SwitchedTable(MemoryTable):
    def __init__(self, clock) -> None:
        super().__init__(clock)
        self.claims, self.finishes = Switch(), Switch()

    def claim_item(self, batch_id, index, *, now):
        self.claims.check()
        return super().claim_item(batch_id, index, now=now)

    def finish_items(self, finished):
        self.finishes.check()
        return super().finish_items(finished)


class SwitchedRegistry(MemoryWorkerRegistry):
    def __init__(self) -> None:
        super().__init__()
        self.reports = Switch()
        self.has_bug = False

    def report(self, report):
        self.reports.check()
        if self.has_bug:
            raise ZeroDivisionError
        super().report(report)


class ImpatientQueue(MemoryQueue):
    """Ends an empty receive early, so that a worker that stops does not wait for it."""

    def receive(self, *, max_messages, wait_s):
        return super().receive(max_messages=max_messages, wait_s=min(wait_s, 0.05))


class RecordingEngine(EchoEngine):
    """The echo engine, which also notes the size of each pass, and can be held up inside one."""

    def __init__(self, **echo) -> None:
        super().__init__(EngineSettings(cache_dir=None), **echo)
        self.passes: list[list[float]] = []
        self.began = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def run(self, micro_batch):
        self.passes.append([one.samples.size / self.limits.sample_rate_hz for one in micro_batch])
        self.began.release()
        self.may_go_on.wait()
        return super().run(micro_batch)


class Rig:
    """Upload, submit, run a worker, look at what came of it. Time stands still unless the clock is advanced."""

    def __init__(
        self,
        engine: SpeechEngine | None = None,
        *,
        voice_engine: VoiceEngine | None = None,
        protection: TaskProtection | None = None,
        policy: Choose = choose,
        **settings,
    ) -> None:
        self.policy = policy
        self.protection = protection
        self.engine = RecordingEngine() if engine is None else engine
        self.clock = ManualClock()
        self.store = SwitchedStore()
        self.table = SwitchedTable(self.clock)
        self.registry = SwitchedRegistry()
        self.settings = WorkerSettings(
            bucket="bucket",
            table="table",
            transcribe_queue_url="queue",
            **{"decode_processes": 1, "visibility_timeout_s": 3, "heartbeat_s": 0.1, **settings},
        )
        self.queues: dict[Operation, MemoryQueue] = {
            operation: ImpatientQueue(self.clock, visibility_timeout_s=self.settings.visibility_timeout_s)
            for operation in Operation
        }
        self.voice_engine = voice_engine

    @property
    def families(self) -> list[Family]:
        """Those of the engines that there are."""
        families: list[Family] = [Transcribe(self.engine)]
        if self.voice_engine is not None:
            families.append(Speak(self.voice_engine, hears=lambda _: True))
        return families

    @property
    def queue(self) -> MemoryQueue:
        """That of `transcribe`."""
        return self.queues[Operation.TRANSCRIBE]

    @queue.setter
    def queue(self, queue: MemoryQueue) -> None:
        self.queues[Operation.TRANSCRIBE] = queue

    def submit(self, *recordings: bytes, **fields) -> str:
        """Upload recordings and submit them as one batch; return its id."""
        files = [
            accept_upload(
                data,
                tenant="tenant",
                file_name="",
                content_type="",
                store=self.store,
                table=self.table,
                clock=self.clock,
                file_ttl_s=1800,
            )
            for data in recordings
        ]
        request = SubmitRequest(
            items=[SubmitItem(**{"operation": "transcribe", "ref_audio": file.file_id, **fields}) for file in files]
        )
        return submit_batch(
            request,
            tenant="tenant",
            table=self.table,
            queues=self.queues,
            clock=self.clock,
            operations=tuple(Operation),
        ).answer.batch_id

    def flow(self) -> Flow:
        return Flow(
            families=self.families,
            store=self.store,
            queues=self.queues,
            table=self.table,
            registry=self.registry,
            clock=self.clock,
            settings=self.settings,
            protection=self.protection,
            policy=self.policy,
        )

    @contextmanager
    def worker(self) -> Iterator[Flow]:
        """Run a worker while the block runs; it must end cleanly."""
        flow = self.flow()
        statuses: list[int] = []
        thread = threading.Thread(target=lambda: statuses.append(flow.run()))
        thread.start()
        try:
            yield flow
        finally:
            if isinstance(self.engine, RecordingEngine):
                self.engine.may_go_on.set()
            flow.stop()
            thread.join(60)
        assert statuses == [0]

    def items(self, batch_id: str) -> Sequence[Item]:
        found = self.table.load_batch(batch_id)
        assert found is not None
        return found[1]

    def finished(self, batch_id: str) -> Sequence[Item]:
        """Wait until every item of a batch is final and every message is gone, and return the items."""
        until(lambda: all(item.status.is_final for item in self.items(batch_id)) and self.messages == 0)
        return self.items(batch_id)

    def finished_items(self, batch_id: str) -> Sequence[Item]:
        """Wait until every item of a batch is final, whatever else there is, and return the items."""
        until(lambda: all(item.status.is_final for item in self.items(batch_id)))
        return self.items(batch_id)

    def transcript(self, item: Item) -> dict:
        assert item.result_key is not None, item.error
        return json.loads(self.store.get(item.result_key))

    @property
    def messages(self) -> int:
        backlogs = [queue.backlog() for queue in self.queues.values()]
        return sum(backlog.visible + backlog.in_flight for backlog in backlogs)

    def let_hidden_messages_come_again(self) -> None:
        self.clock.advance(61)


def until(condition, *, timeout_s: float = 60.0) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.005)
