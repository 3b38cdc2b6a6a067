"""How busy the device is while a worker drains a queue: from the first pass to the last, and where the rest goes.

    python -m benchmarks.pipe_utilisation                  # 2,000 items through the 0.6B on a GPU
    python -m benchmarks.pipe_utilisation --tiny --items 48

The worker is the real one: files of several formats are fetched, decoded, cut, listened to, recognised by the Qwen3-ASR
engine, assembled, published and acknowledged. Queue, store and table are those in memory, so that nothing but this
machine is measured. The recordings are real ones, joined to 2 to 30 s; the weights are random, of the real size, and
write 2.7 tokens for each second, as speech does.

Busy is: on a GPU, the union of all kernels and copies in a window of passes, as CUDA's own tracing has them, beside
NVML's utilisation over the whole stream; on a processor, the time inside the model.

A machine that has a PyTorch of its own and no package index needs the wheels of av, soundfile, soxr, pebble, pydantic,
pydantic-settings and faster-whisper with what these need, but not ctranslate2, and --recordings tests/recordings.
"""

import argparse
import sys
import tempfile
import threading
from pathlib import Path

from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.items import ItemStatus, Operation
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from benchmarks.corpus import Corpus, corpus, read_manifest
from benchmarks.pipe.engine import Watched, random_engine
from benchmarks.pipe.recordings import make_files
from benchmarks.pipe.timeline import Timeline
from benchmarks.report import RESULTS, cores, machine, table
from gpu_worker.pipeline.flow import Flow
from gpu_worker.pipeline.transcribe import Transcribe
from gpu_worker.settings import WorkerSettings

_PACKAGES = ("torch", "transformers", "numpy")
_TENANT = "tenant"
_ITEMS_A_BATCH = 1000
"""The most that one submit takes."""
_POLL_S = 0.05


class Services:
    """Queue, store and table in memory, and what a client does with them."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.store = MemoryStore()
        self.table = MemoryTable(self.clock)
        self.queue = MemoryQueue(self.clock, visibility_timeout_s=60)
        self._batch_ids: list[str] = []

    def submit(self, files: list[bytes], items: int) -> None:
        """Upload the files, each as often as it takes, and submit them all."""
        for first in range(0, items, _ITEMS_A_BATCH):
            places = range(first, min(first + _ITEMS_A_BATCH, items))
            asked = [SubmitItem(operation="transcribe", ref_audio=self._upload(files[i % len(files)])) for i in places]
            submitted = submit_batch(
                SubmitRequest(items=asked),
                tenant=_TENANT,
                table=self.table,
                queues={Operation.TRANSCRIBE: self.queue},
                clock=self.clock,
            )
            self._batch_ids.append(submitted.answer.batch_id)

    def statuses(self) -> list[ItemStatus]:
        """Return the status of every item."""
        found = [self.table.load_batch(batch_id) for batch_id in self._batch_ids]
        return [item.status for batch in found if batch is not None for item in batch[1]]

    def _upload(self, data: bytes) -> str:
        accepted = accept_upload(
            data,
            tenant=_TENANT,
            file_name="",
            content_type="",
            store=self.store,
            table=self.table,
            clock=self.clock,
            file_ttl_s=24 * 3600,
        )
        return accepted.file_id


def drain(services: Services, engine: Watched, settings: WorkerSettings, items: int) -> None:
    """Run a worker until every item is final.

    Raises:
        RuntimeError: the worker broke, or an item failed.
    """
    flow = Flow(
        families=[Transcribe(engine)],
        store=services.store,
        queues={Operation.TRANSCRIBE: services.queue},
        table=services.table,
        registry=MemoryWorkerRegistry(),
        clock=services.clock,
        settings=settings,
    )
    statuses: list[int] = []
    worker = threading.Thread(target=lambda: statuses.append(flow.run()))
    worker.start()
    try:
        # The table is asked only near the end: a reading of so many rows takes the worker's interpreter for a while.
        while worker.is_alive() and (engine.n_inputs < items or not all(one.is_final for one in services.statuses())):
            worker.join(_POLL_S)
    finally:
        flow.stop()
        worker.join()
    failed = sum(one is not ItemStatus.DONE for one in services.statuses())
    if statuses != [0] or failed:
        raise RuntimeError(f"the worker ended with {statuses}, and {failed} items are not done")


def report(timeline: Timeline, engine: Watched, settings: WorkerSettings, items: int, source: str) -> str:
    """Return the result in words and a table."""
    rows = [[what, f"{seconds:.2f}", f"{100 * seconds / timeline.wall_s:.2f}"] for what, seconds in timeline.shares()]
    by_driver = "not asked" if timeline.nvml_busy is None else f"{100 * timeline.nvml_busy:.1f} %"
    n_passes, speed = len(timeline.passes), engine.audio_s / timeline.wall_s
    return f"""# How busy the device is in the pipe

- **{100 * timeline.busy:.1f} %** of the time between the first and the last pass; wanted: at least 95.
- By NVML over the whole stream: {by_driver}.
- {items} items, {engine.audio_s:.0f} s of audio in {timeline.wall_s:.1f} s: **{speed:.0f} audio seconds a second**, \
{n_passes} passes of {engine.n_inputs / n_passes:.1f} inputs.

{table(["where the time goes", "s", "%"], rows)}

- Machine: {timeline.device_name}; {machine(_PACKAGES)}.
- {cores()} cores, {settings.decode_processes} decoding processes, {settings.micro_batch} inputs a pass at the most.
- Recordings: {source}.
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, metavar="PATH", help="a manifest, as for cpu_engine.py")
    parser.add_argument("--items", type=int, default=2000, help="how many (2,000)")
    parser.add_argument("--size", default="0.6b", help="of the weights: 0.6b or 1.7b (0.6b)")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the processor")
    parser.add_argument("--micro-batch", type=int, default=16, help="most inputs of a pass (16)")
    parser.add_argument("--decode-processes", type=int, default=max(1, cores() - 4), help="(all cores but four)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the report")
    given = parser.parse_args(arguments)
    known = corpus() if given.recordings is None else Corpus(tuple(read_manifest(given.recordings)), "a manifest")
    files, source = make_files(known)
    services = Services()
    services.submit(files, given.items)
    with tempfile.TemporaryDirectory() as folder:
        engine = random_engine("tiny" if given.tiny else given.size, Path(folder), micro_batch=given.micro_batch)
        settings = WorkerSettings(
            bucket="bucket",
            table="table",
            transcribe_queue_url="queue",
            engine="qwen3-asr",
            micro_batch=given.micro_batch,
            decode_processes=given.decode_processes,
            visibility_timeout_s=60,
        )
        with engine.watching() as timeline:
            drain(services, engine, settings, given.items)
    text = report(timeline, engine, settings, given.items, source)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "pipe_utilisation.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
