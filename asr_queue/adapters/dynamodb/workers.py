"""The workers' reports in DynamoDB: one partition, a row a worker, each overwritten by the next report."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asr_queue.adapters.dynamodb.calls import Table
from asr_queue.adapters.dynamodb.rows import Row, from_ms, to_ms, to_s, worker_key
from asr_queue.domain.items import Operation
from asr_queue.domain.workers import WorkerReport

_KEPT_S: Final = 3600
"""How long the row of a worker that was killed outlives its last report; nobody is shown it."""


class DynamoWorkerRegistry:
    """WorkerRegistry over the table that holds everything else."""

    def __init__(self, client: Any, name: str) -> None:
        """Take a boto3 DynamoDB client and the name of the table."""
        self._table = Table(client, name)

    def report(self, report: WorkerReport) -> None:
        """Keep a worker's report."""
        self._table.put(_row(report))

    def leave(self, worker_id: str) -> None:
        """Forget a worker."""
        # Overwritten, not removed: a worker has no right to remove rows. Time to live takes it away.
        self._table.put(worker_key(worker_id) | {"purge_at": 1})

    def workers(self, *, now: datetime) -> list[WorkerReport]:
        """Return the reports of the workers that live."""
        rows = self._table.query(worker_key("")["pk"])
        alive = [report for row in rows if "seen_at" in row and (report := _report(row)).is_alive(now)]
        return sorted(alive, key=lambda report: (report.started_at, report.worker_id))


def _row(report: WorkerReport) -> Row:
    row = worker_key(report.worker_id) | {
        "worker_id": report.worker_id,
        "engine": report.engine,
        "started_at": to_ms(report.started_at),
        "seen_at": to_ms(report.seen_at),
        "held_items": report.held_items,
        "micro_batch_max": report.micro_batch_max,
        "busy": _rounded(report.busy),
        "items_done": report.items_done,
        "audio_s_done": _rounded(report.audio_s_done),
        "resident": sorted(report.resident),
        "swaps": report.swaps,
        "purge_at": to_s(report.seen_at, _KEPT_S),
    }
    if report.micro_batch_fill is not None:
        row["micro_batch_fill"] = _rounded(report.micro_batch_fill)
    if report.audio_s_per_s is not None:
        row["audio_s_per_s"] = _rounded(report.audio_s_per_s)
    if report.mean_swap_s is not None:
        row["mean_swap_s"] = _rounded(report.mean_swap_s)
    if report.device_bytes is not None:
        row["device_bytes"] = report.device_bytes
    return row


def _report(row: Mapping[str, Any]) -> WorkerReport:
    return WorkerReport(
        worker_id=row["worker_id"],
        engine=row["engine"],
        started_at=from_ms(row["started_at"]),
        seen_at=from_ms(row["seen_at"]),
        held_items=int(row["held_items"]),
        micro_batch_max=int(row["micro_batch_max"]),
        micro_batch_fill=float(row["micro_batch_fill"]) if "micro_batch_fill" in row else None,
        audio_s_per_s=float(row["audio_s_per_s"]) if "audio_s_per_s" in row else None,
        busy=float(row["busy"]),
        items_done=int(row["items_done"]),
        audio_s_done=float(row["audio_s_done"]),
        # Workers of the last release say nothing of these, and those of the next may know more operations.
        resident=frozenset(one for one in Operation if one in row.get("resident", ())),
        swaps=int(row.get("swaps", 0)),
        mean_swap_s=float(row["mean_swap_s"]) if "mean_swap_s" in row else None,
        device_bytes=int(row["device_bytes"]) if "device_bytes" in row else None,
    )


def _rounded(number: float) -> Decimal:
    return Decimal(f"{number:.3f}")
