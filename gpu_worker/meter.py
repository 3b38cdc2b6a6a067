"""What a worker has done, and how fast lately: the numbers of its report on itself."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from asr_queue.domain.workers import WorkerReport
from asr_queue.ports import Clock
from gpu_worker.model_host import HostReport

_LATELY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Pass:
    began_s: float
    ended_s: float
    audio_s: float
    chunks: int


class Meter:
    """Counts passes and items; safe to use from several threads."""

    def __init__(
        self, *, engine: str, micro_batch_max: int, clock: Clock, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count.

        Args:
            engine: its name.
            micro_batch_max: most chunks of one pass.
            clock: says when the worker started and was seen.
            seconds: what passes are timed by.
        """
        self._engine = engine
        self._micro_batch_max = micro_batch_max
        self._clock = clock
        self._seconds = seconds
        self._worker_id = str(uuid4())
        self._started_at = clock.now()
        self._started_s = seconds()
        self._lock = threading.Lock()
        self._running_since_s: float | None = None
        self._passes: deque[_Pass] = deque()
        self._items_done = 0
        self._audio_s_done = 0.0

    @property
    def worker_id(self) -> str:
        """What tells this worker from every other one."""
        return self._worker_id

    def pass_began(self) -> None:
        """Note that the device begins a pass."""
        with self._lock:
            self._running_since_s = self._seconds()

    def pass_ended(self, *, audio_s: float, chunks: int) -> None:
        """Note that the pass has ended, and what was in it."""
        with self._lock:
            now_s = self._seconds()
            began_s = now_s if self._running_since_s is None else self._running_since_s
            self._running_since_s = None
            self._passes.append(_Pass(began_s, now_s, audio_s, chunks))
            # The last one stays, however old: it tells how fast the worker is.
            while len(self._passes) > 1 and self._passes[0].ended_s < now_s - _LATELY_S:
                self._passes.popleft()

    def item_ended(self, *, audio_s: float) -> None:
        """Note that an item's outcome was recorded."""
        with self._lock:
            self._items_done += 1
            self._audio_s_done += audio_s

    def report(self, *, held_items: int, host: HostReport | None = None) -> WorkerReport:
        """Return the worker's report on itself, as of now, with what its model host says."""
        seen_at: datetime = self._clock.now()
        with self._lock:
            now_s = self._seconds()
            since_s = max(now_s - _LATELY_S, self._started_s)
            recent = [one for one in self._passes if one.ended_s >= since_s]
            known = recent or list(self._passes)
            compute_s = sum(one.ended_s - one.began_s for one in known)
            busy_s = sum(one.ended_s - max(one.began_s, since_s) for one in recent)
            if self._running_since_s is not None:
                busy_s += now_s - max(self._running_since_s, since_s)
            chunks = sum(one.chunks for one in recent)
            return WorkerReport(
                worker_id=self._worker_id,
                engine=self._engine,
                started_at=self._started_at,
                seen_at=seen_at,
                held_items=held_items,
                micro_batch_max=self._micro_batch_max,
                micro_batch_fill=chunks / (len(recent) * self._micro_batch_max) if recent else None,
                audio_s_per_s=sum(one.audio_s for one in known) / compute_s if compute_s > 0 else None,
                busy=min(1.0, busy_s / (now_s - since_s)) if now_s > since_s else 0.0,
                items_done=self._items_done,
                audio_s_done=self._audio_s_done,
                resident=frozenset() if host is None else host.resident,
                swaps=0 if host is None else host.swaps,
                mean_swap_s=None if host is None else host.mean_swap_s,
                device_bytes=sum(host.device_bytes.values()) if host is not None and host.device_bytes else None,
            )
