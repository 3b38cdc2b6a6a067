"""The workers' reports in a dictionary."""

import threading
from datetime import datetime

from asr_queue.domain.workers import WorkerReport


class MemoryWorkerRegistry:
    """WorkerRegistry for tests; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, WorkerReport] = {}

    def report(self, report: WorkerReport) -> None:
        """Keep a worker's report."""
        with self._lock:
            self._reports[report.worker_id] = report

    def leave(self, worker_id: str) -> None:
        """Forget a worker."""
        with self._lock:
            self._reports.pop(worker_id, None)

    def workers(self, *, now: datetime) -> list[WorkerReport]:
        """Return the reports of the workers that live."""
        with self._lock:
            alive = [report for report in self._reports.values() if report.is_alive(now)]
        return sorted(alive, key=lambda report: (report.started_at, report.worker_id))
