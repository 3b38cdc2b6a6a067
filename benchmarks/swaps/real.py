"""The worker itself, over everything in memory, with engines that sleep as long as models load and run."""

import io
import threading
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.items import Item, ItemStatus, Operation
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from gpu_worker.engine import EngineSettings, Samples
from gpu_worker.engines.echo import EchoEngine
from gpu_worker.engines.echo_voice import EchoVoiceEngine
from gpu_worker.pipeline.dispatch import Choose
from gpu_worker.pipeline.flow import Flow
from gpu_worker.pipeline.speak import Speak
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.scheduler import Costs, Demand
from gpu_worker.settings import WorkerSettings

_TENANT: Final = "tenant"
_RATE_HZ: Final = 16_000
_TIMEOUT_S: Final = 600.0
_POLL_S: Final = 0.02


class _Heavy:
    """An engine that fills the device, so that no other one fits beside it, and takes its time to come."""

    def __init__(self, engine: Any, *, load_s: float) -> None:
        self._engine = engine
        self._load_s = load_s
        self.device_bytes = 0
        self.passes = 0
        self.items = 0
        self.loads = 0
        self.loaded_s = 0.0
        """When it came first, by the monotonic clock."""

    @property
    def limits(self) -> Any:
        return self._engine.limits

    def has_speech(self, samples: Samples) -> bool | None:
        heard: bool | None = self._engine.has_speech(samples)
        return heard

    def load(self) -> None:
        time.sleep(self._load_s)
        self._engine.load()
        self.device_bytes = 1
        self.loads += 1
        self.loaded_s = self.loaded_s or time.monotonic()

    def run(self, micro_batch: Any) -> Any:
        self.passes += 1
        self.items += len(micro_batch)
        return self._engine.run(micro_batch)

    def park(self) -> None:
        self.unload()

    def unload(self) -> None:
        self._engine.unload()
        self.device_bytes = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRun:
    """What a worker made of its items."""

    makespan_s: float
    """From the moment at which both models have been loaded once, to the end of the last item."""
    swaps: int
    passes: Mapping[Operation, int]
    waits_s: Mapping[Operation, list[float]]
    """From each item's submit to its end, its own pass and the first loads included."""


def work(
    items: int, *, policy: Choose | None, pass_s: Mapping[Operation, float], swap_s: float, bound_s: float
) -> RealRun:
    """Submit so many items of two operations by turns, have one worker do them, and say what came of it.

    Args:
        items: each of one chunk, and a batch of its own.
        policy: None for first come, first served, by the order of submission, which no worker knows.
        pass_s: what a pass of each operation takes.
        swap_s: what it takes to load either model.
        bound_s: longest that items are to wait for their model.
    """
    clock = SystemClock()
    store, table, registry = MemoryStore(), MemoryTable(clock), MemoryWorkerRegistry()
    queues = {operation: MemoryQueue(clock) for operation in Operation}
    settings = EngineSettings(cache_dir=Path())
    hearing = _Heavy(EchoEngine(settings, pass_s=pass_s[Operation.TRANSCRIBE]), load_s=swap_s)
    speaking = _Heavy(EchoVoiceEngine(settings, pass_s=pass_s[Operation.VOICE_CLONE]), load_s=swap_s)
    engines: dict[Operation, _Heavy] = {Operation.TRANSCRIBE: hearing, Operation.VOICE_CLONE: speaking}

    def first_come(
        demands: Mapping[Operation, Demand],
        costs: Mapping[Operation, Costs],
        *,
        current: Operation | None,
        stayed_s: float,
    ) -> Operation | None:
        del costs, current, stayed_s
        waiting = [operation for operation, demand in demands.items() if demand.waiting]
        return min(waiting, key=lambda one: engines[one].items, default=None)

    upload = accept_upload(
        _tone(),
        tenant=_TENANT,
        file_name="",
        content_type="",
        store=store,
        table=table,
        clock=clock,
        file_ttl_s=1800,
    )
    asked = {
        Operation.TRANSCRIBE: SubmitItem(operation="transcribe", ref_audio=upload.file_id),
        Operation.VOICE_CLONE: SubmitItem(operation="voice_clone", ref_audio=upload.file_id, text="Hello."),
    }
    batches = [
        submit_batch(
            SubmitRequest(items=[asked[operation]]),
            tenant=_TENANT,
            table=table,
            queues=queues,
            clock=clock,
            operations=tuple(Operation),
        ).answer.batch_id
        for operation in islice(cycle(Operation), items)
    ]

    def item(batch_id: str) -> Item:
        loaded = table.load_batch(batch_id)
        if loaded is None:
            raise RuntimeError("a batch is gone")
        return loaded[1][0]

    flow = Flow(
        families=[Transcribe(hearing), Speak(speaking, hears=lambda _: True)],
        store=store,
        queues=queues,
        table=table,
        registry=registry,
        clock=clock,
        settings=WorkerSettings(
            bucket="bucket",
            table="table",
            transcribe_queue_url="queue",
            decode_processes=1,
            device_memory_bytes=1,
            family_wait_s=bound_s,
        ),
        policy=first_come if policy is None else policy,
    )
    thread = threading.Thread(target=flow.run)
    thread.start()
    try:
        deadline_s, left = time.monotonic() + _TIMEOUT_S, batches
        while left := [one for one in left if not item(one).status.is_final]:
            if time.monotonic() > deadline_s or not thread.is_alive():
                raise RuntimeError(f"{len(left)} items were not done")
            time.sleep(_POLL_S)
        ended_s = time.monotonic()
    finally:
        flow.stop()
        thread.join()
    waits_s: dict[Operation, list[float]] = {operation: [] for operation in Operation}
    for done in map(item, batches):
        if done.status is not ItemStatus.DONE or done.finished_at is None:
            raise RuntimeError(f"an item failed: {done.error}")
        waits_s[done.operation].append((done.finished_at - done.created_at).total_seconds())
    return RealRun(
        makespan_s=ended_s - max(engine.loaded_s for engine in engines.values()),
        swaps=sum(engine.loads - 1 for engine in engines.values()),
        passes={operation: engine.passes for operation, engine in engines.items()},
        waits_s=waits_s,
    )


def _tone() -> bytes:
    """Return two seconds of a tone, as a WAV file."""
    times_s = np.arange(2 * _RATE_HZ) / _RATE_HZ
    samples = np.asarray(10_000 * np.sin(2 * np.pi * 300 * times_s), dtype=np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE_HZ)
        out.writeframes(samples.tobytes())
    return file.getvalue()
