"""Very many items at once: 50 clients submit, 20 poll, one worker with the `echo` engine takes what comes.

    python benchmarks/load.py                                  # 100,000 items: the better part of an hour on 2 cores
    python benchmarks/load.py --items 5000                     # a first look
    python benchmarks/load.py --minutes 30                     # tell what was done by then
    python benchmarks/load.py --profile PY_SPY                 # and where the embedded AWS spends its time

Everything goes through `asr-queue up` on this machine: upload, submit, status, over HTTP. A client uploads one short
recording for each batch, and all items of the batch are of that one recording: what is measured is the queue, not the
copying of audio. Pollers ask for one batch after the other, unfinished ones first, and check that each answer agrees
with itself and that no final item ever changes. Afterwards the table and the queue themselves are counted: what was
submitted and is in no row, or unfinished with no message, is lost.
"""

import argparse
import asyncio
import io
import signal
import subprocess
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, quantiles
from typing import Any

import boto3
import httpx
import psutil
from report import machine, publish, table

from asr_queue.local.up import private_stack

_CLIENTS = 50
_POLLERS = 20
_ITEMS_A_BATCH = 100
_POLL_EVERY_S = 2.0
_SAMPLE_EVERY_S = 5.0
_TIMEOUT_S = 120
_RATE_HZ = 8000
_FINAL = ("done", "error")
_PROFILED = "emulator"
_SAMPLES_A_SECOND = 10
_PARTS = {
    "DynamoDB": "ministack/services/dynamodb.py",
    "SQS": "ministack/services/sqs.py",
    "S3": "ministack/services/s3.py",
    "journal, ours": "asr_queue/local/journal.py",
    "snapshots, ours": "asr_queue/local/snapshots.py",
    "HTTP": "uvicorn/",
}
"""Parts of the embedded AWS by a path that its frames have; the first that fits counts."""
_PROCESSES = {
    "api": "asr_queue.local.api",
    "worker": "gpu_worker",
    "emulator": "asr_queue.local.emulator",
    "supervisor": "asr_queue.local.up",
}


@dataclass(slots=True)
class Seen:
    """What clients and pollers saw."""

    began_s: float = field(default_factory=time.monotonic)
    took_s: dict[str, list[float]] = field(default_factory=dict)
    """Seconds that each call took, by kind."""
    submitted: dict[str, int] = field(default_factory=dict)
    """Items by batch."""
    submitted_after_s: float = 0.0
    ended_after_s: float = 0.0
    finished: dict[str, Counter[str]] = field(default_factory=dict)
    """Item states by finished batch."""
    lies: list[str] = field(default_factory=list)
    """Answers that were at odds with themselves or with an earlier one."""
    refused: Counter[int] = field(default_factory=Counter)
    """HTTP statuses that were not 200."""
    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """Seconds since the beginning and resident bytes, by process."""
    backlog: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the beginning and messages in the queue."""

    def now_s(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began_s


def recording() -> bytes:
    """Return half a second of a sawtooth."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(_RATE_HZ)
        file.writeframes(bytes(range(256)) * (_RATE_HZ // 512))
    return buffer.getvalue()


async def timed(seen: Seen, kind: str, call: Callable[[], Any]) -> dict[str, Any]:
    """Make a call until it is answered 200; what counts is the first try's time, or that of the one that worked."""
    while True:
        began_s = time.monotonic()
        answer = await call()
        seen.took_s.setdefault(kind, []).append(time.monotonic() - began_s)
        if answer.status_code == httpx.codes.OK:
            return dict(answer.json())
        seen.refused[answer.status_code] += 1
        await asyncio.sleep(float(answer.headers.get("retry-after", "1")))


async def submit_all(url: str, key: str, seen: Seen, sizes: asyncio.Queue[int]) -> None:
    """Be one client: upload and submit until nothing is left to submit."""
    data = recording()
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=_TIMEOUT_S, trust_env=False) as http:
        while not sizes.empty():
            size = sizes.get_nowait()
            upload = await timed(
                seen, "upload", lambda: http.post("/api/v1/files/upload", files={"file": ("saw.wav", data)})
            )
            items = [{"operation": "transcribe", "ref_audio": upload["file_id"]} for _ in range(size)]
            body = {"label": "load", "items": items}
            answer = await timed(seen, "submit", lambda body=body: http.post("/api/v1/queue/submit", json=body))
            seen.submitted[answer["batch_id"]] = size
    seen.submitted_after_s = seen.now_s()


async def poll(url: str, key: str, seen: Seen, number: int, items: int) -> None:
    """Be one poller: look after every 20th batch until all are finished."""
    final: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=_TIMEOUT_S, trust_env=False) as http:
        while sum(seen.submitted.values()) < items or len(seen.finished) < len(seen.submitted):
            mine = [batch_id for batch_id in list(seen.submitted)[number::_POLLERS] if batch_id not in seen.finished]
            for batch_id in mine[:1] + mine[1 : len(mine) : max(1, len(mine) // 4)]:
                began_s = time.monotonic()
                path = f"/api/v1/queue/status/{batch_id}"
                answer = await timed(seen, "status", lambda path=path: http.get(path))
                check(answer, final, seen)
                await asyncio.sleep(max(0.0, _POLL_EVERY_S - (time.monotonic() - began_s)))
            if not mine:
                await asyncio.sleep(_POLL_EVERY_S)


def check(answer: dict[str, Any], final: dict[str, str], seen: Seen) -> None:
    """Hold an answer against itself and against what was final before."""
    states = Counter(str(item["status"]) for item in answer["items"])
    counted = (answer["completed"], answer["failed"], answer["total"])
    if counted != (states["done"], states["error"], states.total()):
        seen.lies.append(f"{answer['batch_id']}: {counted} for {dict(states)}")
    for item in answer["items"]:
        if final.setdefault(item["item_id"], item["status"]) != item["status"]:
            seen.lies.append(f"{item['item_id']} was {final[item['item_id']]}, is {item['status']}")
        if item["status"] not in _FINAL:
            del final[item["item_id"]]
    if states["done"] + states["error"] == states.total():
        seen.finished[answer["batch_id"]] = states


async def sample(processes: dict[str, psutil.Process], backlog: Callable[[], int], seen: Seen) -> None:
    """Note every process's memory and the queue's length, for ever."""
    while True:
        for name, process in processes.items():
            seen.memory.setdefault(name, []).append((seen.now_s(), process.memory_info().rss))
        seen.backlog.append((seen.now_s(), await asyncio.to_thread(backlog)))
        done = sum(counted.total() for counted in seen.finished.values())
        print(f"{seen.now_s():6.0f} s: {sum(seen.submitted.values())} submitted, {done} seen finished", flush=True)
        await asyncio.sleep(_SAMPLE_EVERY_S)


async def load(
    url: str,
    key: str,
    items: int,
    processes: dict[str, psutil.Process],
    backlog: Callable[[], int],
    limit_s: float | None,
) -> Seen:
    """Submit and poll until everything is finished, or the time is up; return what was seen."""
    sizes: asyncio.Queue[int] = asyncio.Queue()
    for first in range(0, items, _ITEMS_A_BATCH):
        sizes.put_nowait(min(_ITEMS_A_BATCH, items - first))
    seen = Seen()
    sampling = asyncio.create_task(sample(processes, backlog, seen))
    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as everybody:
            for _ in range(_CLIENTS):
                everybody.create_task(submit_all(url, key, seen, sizes))
            for number in range(_POLLERS):
                everybody.create_task(poll(url, key, seen, number, items))
    except TimeoutError:
        print("the time is up")
    finally:
        sampling.cancel()
    seen.ended_after_s = seen.now_s()
    return seen


def processes_of_the_stack() -> dict[str, psutil.Process]:
    """Return the processes that this one has started, by what they are."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        for name, module in _PROCESSES.items():
            if module in command:
                found[name] = child
    return found


def aws(data: Path) -> tuple[dict[str, str], Callable[[str], Any]]:
    """Return the stack's variables, and a maker of clients of its embedded AWS."""
    lines = (data / "stack.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    return variables, client


def waiting(data: Path) -> Callable[[], int]:
    """Return what counts the messages in the queue, hidden ones included."""
    variables, client = aws(data)
    sqs, names = client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = variables["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"]
    return lambda: sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))


def rows(data: Path) -> Counter[str]:
    """Count the item rows of the table by their status."""
    variables, client = aws(data)
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=variables["ASR_QUEUE_TABLE"],
            ProjectionExpression="sk, #status",
            ExpressionAttributeNames={"#status": "status"},
        )
    )
    return Counter(row["status"]["S"] for page in pages for row in page["Items"] if row["sk"]["S"].startswith("ITEM#"))


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What was left when all was finished."""

    rows: Counter[str]
    messages: int
    cpu_s: dict[str, float]
    shares: Counter[str]
    """Samples of the embedded AWS at work, by part; empty where it was not profiled."""


@contextmanager
def profiled(py_spy: str | None, pid: int) -> Iterator[Counter[str]]:
    """Let py-spy look at a process ten times a second during the block; yield what is filled with samples by part."""
    shares: Counter[str] = Counter()
    if py_spy is None:
        yield shares
        return
    with tempfile.NamedTemporaryFile() as stacks:
        options = ["--format", "raw", "--rate", str(_SAMPLES_A_SECOND), "--duration", "86400", "--nonblocking"]
        spying = subprocess.Popen([py_spy, "record", "--pid", str(pid), "--output", stacks.name, *options])
        try:
            yield shares
        finally:
            spying.send_signal(signal.SIGINT)
            spying.wait()
        for line in Path(stacks.name).read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            shares[next((part for part, path in _PARTS.items() if path in stack), "else")] += int(count)


def report(items: int, seen: Seen, after: After) -> str:
    """Return the result in words and tables."""
    submitted, done = sum(seen.submitted.values()), after.rows["done"]
    unfinished = after.rows["queued"] + after.rows["processing"]
    lost = max(0, submitted - after.rows.total()) + max(0, unfinished - after.messages)
    head = ["call", "calls", "p50 ms", "p99 ms", "longest ms"]
    calls = [[kind, str(len(took)), *milliseconds(took)] for kind, took in sorted(seen.took_s.items())]
    memory_head = ["process", "at first MiB", "in the middle", "at the end", "slope MiB a 10,000 items", "CPU s"]
    memory = [memory_row(name, points, done, seen, after) for name, points in sorted(seen.memory.items())]
    most = max(count for _, count in seen.backlog)
    return f"""# Load

- {items} items to submit, {_CLIENTS} clients and {_POLLERS} pollers at once: **{submitted} submitted** after \
{seen.submitted_after_s:.0f} s, **{done} done** after {seen.ended_after_s:.0f} s, **{lost} lost**; \
{after.rows["error"]} failed, {unfinished} unfinished, {after.messages} messages left.
- {len(seen.lies)} answers at odds with themselves or an earlier one, {sum(seen.refused.values())} not answered 200.
- **{done / seen.ended_after_s:.0f} items a second** from the first submit to the end; at most {most} messages waited.

{table(head, calls)}

{table(memory_head, memory)}

{profile(after.shares)}- Machine: {machine()}; clients, pollers and the whole system on it.
- `asr-queue up`'s processes with the engine `echo`, one worker. {_ITEMS_A_BATCH} items a batch, all of one upload of \
half a second. A poller asks every {_POLL_EVERY_S:.0f} s. Slopes are over the second half of the run.
{"".join(f"- {lie}{chr(10)}" for lie in seen.lies[:5])}"""


def profile(shares: Counter[str]) -> str:
    """Return where the embedded AWS spends its time."""
    if not shares:
        return ""
    told = [[part, f"{100 * count / shares.total():.0f}"] for part, count in shares.most_common()]
    return table(["embedded AWS at work", "% of its time"], told) + "\n\n"


def milliseconds(took_s: Sequence[float]) -> list[str]:
    """Return median, 99th percentile and maximum."""
    percentiles = quantiles(took_s, n=100)
    return [f"{1000 * seconds:.0f}" for seconds in (percentiles[49], percentiles[98], max(took_s))]


def memory_row(name: str, points: list[tuple[float, int]], done: int, seen: Seen, after: After) -> list[str]:
    """Return what a process's memory did."""
    half = points[len(points) // 2 :]
    slope = linear_regression([at_s for at_s, _ in half], [size / 2**20 for _, size in half]).slope
    at = [points[0], half[0], points[-1]]
    per_items = slope * seen.ended_after_s / max(1, done) * 10_000
    return [name, *(f"{size / 2**20:.0f}" for _, size in at), f"{per_items:+.1f}", f"{after.cpu_s[name]:.0f}"]


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000, help="how many items (100,000)")
    parser.add_argument("--minutes", type=float, help="report what was done by then (as long as it takes)")
    parser.add_argument("--profile", metavar="PY_SPY", help="program py-spy, to record where time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, private_stack(Path(folder), engine="echo") as (url, key):
        data, processes = Path(folder), processes_of_the_stack()
        with profiled(arguments.profile, processes[_PROFILED].pid) as shares:
            limit_s = arguments.minutes and 60 * arguments.minutes
            seen = asyncio.run(load(url, key, arguments.items, processes, waiting(data), limit_s))
        cpu_s = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
        messages = waiting(data)()  # before the rows: what ends in between must not look as if its message were lost
        after = After(rows=rows(data), messages=messages, cpu_s=cpu_s, shares=shares)
    publish("load", report(arguments.items, seen, after))


if __name__ == "__main__":
    main()
