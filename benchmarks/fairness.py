"""One item of a tenant behind 5,000 of another: how long it waits, and how much of the other's was done first.

    python benchmarks/fairness.py            # a few minutes on 2 cores

On a private stack with the `echo` engine: the embedded AWS, which delivers as SQS's fair queues do
(`asr_queue/local/fair_queues.py`). Tenant A submits five batches of 1,000 items. While they are worked on, tenant B
submits one item at a time, and waits for its end.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from load import aws, recording
from report import machine, publish, table

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.local.up import private_stack
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key

_BATCH_ITEMS = 1000
_POLL_S = 0.1
_TIMEOUT_S = 120


def client(url: str, key: str) -> httpx.Client:
    """Return a client of one tenant."""
    return httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=_TIMEOUT_S, trust_env=False)


def second_key(data: Path) -> str:
    """Return a key of a tenant of its own."""
    variables, _ = aws(data)
    settings = ResourceSettings(
        bucket=variables["ASR_QUEUE_BUCKET"],
        table=variables["ASR_QUEUE_TABLE"],
        transcribe_queue_url=variables["ASR_QUEUE_TRANSCRIBE_QUEUE_URL"],
    )
    reached = connect(settings, environment=variables)
    return create_key(tenant="b", name="fairness", table=reached.table, clock=SystemClock())[0]


def submit(api: httpx.Client, items: int) -> str:
    """Upload a recording and submit so many items of it; return the batch's id."""
    answer = api.post("/api/v1/files/upload", files={"file": ("saw.wav", recording())}).raise_for_status()
    body = {"items": [{"operation": "transcribe", "ref_audio": answer.json()["file_id"]}] * items}
    return str(api.post("/api/v1/queue/submit", json=body).raise_for_status().json()["batch_id"])


def status(api: httpx.Client, batch_id: str) -> dict[str, Any]:
    """Poll a batch once."""
    return dict(api.get(f"/api/v1/queue/status/{batch_id}").raise_for_status().json())


def measure(items: int, rounds: int) -> tuple[list[list[str]], list[float], float]:
    """Return a row a round, how long B waited in each, and how long A took for everything."""
    rows: list[list[str]] = []
    waited: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        private_stack(Path(folder), engine="echo") as (url, key),
        client(url, key) as many,
        client(url, second_key(Path(folder))) as few,
    ):
        began_s = time.monotonic()
        batches = [submit(many, _BATCH_ITEMS) for _ in range(items // _BATCH_ITEMS)]

        def left() -> int:
            return items - sum(status(many, batch_id)["completed"] for batch_id in batches)

        for number in range(rounds):
            before, at_s = left(), time.monotonic()
            single = submit(few, 1)
            while status(few, single)["completed"] < 1:
                time.sleep(_POLL_S)
            waited.append(time.monotonic() - at_s)
            after = left()
            rows.append([str(number + 1), str(before), f"{waited[-1]:.1f}", str(before - after), str(after)])
        while left():
            time.sleep(1)
        return rows, waited, time.monotonic() - began_s


def report(items: int, rows: list[list[str]], waited: list[float], whole_s: float) -> str:
    """Return the result in words and a table."""
    head = ["round", "A's left before", "B's item took s", "A's done meanwhile", "A's left after"]
    return f"""# Fair service between tenants

- Tenant A submitted **{items} items**, which took {whole_s:.0f} s. Meanwhile tenant B submitted one item, {len(rows)} \
times: its upload, submit and transcript took **{median(waited):.1f} s** in the median, {max(waited):.1f} s at most.

{table(head, rows)}

- Machine: {machine()}.
- `private_stack` with the engine `echo` and one worker, which holds up to 48 items: B's comes behind those.
"""


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=5000, help="of tenant A (5,000)")
    parser.add_argument("--rounds", type=int, default=5, help="items of tenant B, one after the other (5)")
    arguments = parser.parse_args()
    publish("fairness", report(arguments.items, *measure(arguments.items, arguments.rounds)))


if __name__ == "__main__":
    main()
