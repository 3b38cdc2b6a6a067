"""Which models are on the device: all of them where they fit, else the one that is wanted and whatever fits beside it.

    nothing ──load──▶ resident ──park──▶ parked          an engine that is no Parkable is unloaded, and
                         ▲                 │             its way back is that of its first load
                         └──────load───────┘

Whether models fit together is measured, not worked out: one whose load finds no room is tried again without the others,
and what was too much once is not tried again.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asr_queue.domain.items import Operation
from asr_queue.errors import EngineLoadError, EngineNoRoomError
from gpu_worker.engine import Engine, Parkable

_logger = logging.getLogger(__name__)

_GUESSED_SWAP_S: Final = 3.0
"""Of an engine that was never loaded: what reading a model of 4 GB from a disk takes."""
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
"""Between two tries to load an engine that cannot be loaded; each pause is twice the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What a model host has done, and what it has on the device."""

    resident: frozenset[Operation]
    device_bytes: Mapping[Operation, int]
    """Of the resident ones that measure it, as it was right after their load."""
    loads: int
    """Times that an engine came from nothing: from a disk."""
    swaps: int
    """Times that an operation was admitted whose engine was not resident."""
    last_swap_s: float | None
    """None before the first, as for the mean."""
    mean_swap_s: float | None
    failed_loads: int
    """Times that an engine could not be loaded after the start."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An engine that could not be loaded."""

    failures: int
    """One after the other."""
    until_s: float
    """When to try again."""


class ModelHost:
    """Loads and parks engines. One thread, which owns the device, calls what moves them; any may ask."""

    def __init__(
        self,
        engines: Mapping[Operation, Engine[Any, Any]],
        *,
        memory_bytes: int | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take engines that are not loaded.

        Args:
            engines: at least one.
            memory_bytes: most that those resident at the same time may hold of the device, as far as they measure it;
                None for as much as there is. One alone may exceed it.
            seconds: what loads are timed by.
        """
        self._engines = dict(engines)
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._lock = threading.RLock()
        self._resident: list[Operation] = []
        """The one that was admitted last at the end."""
        self._parked: set[Operation] = set()
        self._too_much: list[frozenset[Operation]] = []
        """Sets that have been found not to fit."""
        self._weights: dict[Operation, int] = {}
        self._come_s: dict[tuple[Operation, bool], float] = {}
        """Of the last load, by operation and whether it was parked before."""
        self._leave_s: dict[Operation, float] = {}
        self._troubles: dict[Operation, _Trouble] = {}
        self._loads = self._swaps = self._failed_loads = 0
        self._swapped_s = 0.0
        self._last_swap_s: float | None = None

    def load(self, first: Operation | None = None) -> None:
        """Load every engine once; afterwards all that fit are resident, and the one that is wanted first for certain.

        Args:
            first: that one; None for the first of the engines. It is loaded last, so it can take the memory that is
                left: for Qwen3-ASR's cache, say.

        Raises:
            EngineLoadError: an engine cannot be loaded, not even alone; the worker must not start.
        """
        wanted = next(iter(self._engines)) if first is None else first
        for operation in sorted(self._engines, key=lambda one: one is wanted):
            self._bring(operation)

    def admit(self, operation: Operation) -> float:
        """Have the operation's engine resident, and say how many seconds that took: 0.0 where it was.

        Where it does not fit beside the others, those that were admitted longest ago are parked, or unloaded.

        Raises:
            EngineLoadError: it cannot be loaded now. The others that were resident may not be any more, and can be
                admitted as ever. Until the operation is among `usable` again, this raises at once.
            EngineBrokenError: as of `Engine.run`.
        """
        with self._lock:
            if operation in self._resident:
                self._resident.remove(operation)
                self._resident.append(operation)
                return 0.0
        if operation not in self.usable():
            raise EngineLoadError(f"The engine for {operation} could not be loaded a short while ago.")
        began_s = self._seconds()
        before = self.resident()
        try:
            self._bring(operation)
        except EngineLoadError as error:
            self._note_failure(operation, error)
            raise
        swap_s = self._seconds() - began_s
        with self._lock:
            self._troubles.pop(operation, None)
            self._swaps += 1
            self._swapped_s += swap_s
            self._last_swap_s = swap_s
        _logger.info(
            "model_swapped",
            extra={
                "operation": operation.value,
                "left": sorted(one.value for one in before - self.resident()),
                "seconds": round(swap_s, 4),
                "device_bytes": self._weights.get(operation),
            },
        )
        return swap_s

    def make_room(self, operation: Operation) -> bool:
        """Park whatever is resident beside this operation, for a pass that ran out of memory; whether there was any."""
        others = [one for one in self._resident if one is not operation]
        for other in others:
            self._dismiss(other)
        return bool(others)

    def swap_s(self, operation: Operation) -> float:
        """Return what `admit` would take, going by the last time; 0.0 where it is resident."""
        with self._lock:
            if operation in self._resident:
                return 0.0
            is_parked = operation in self._parked
            come_s = self._come_s.get((operation, is_parked), self._come_s.get((operation, not is_parked)))
            leave_s = sum(self._leave_s.get(one, 0.0) for one in self._in_the_way_of(operation))
            return leave_s + (_GUESSED_SWAP_S if come_s is None else come_s)

    def resident(self) -> frozenset[Operation]:
        """Return the operations whose engines can run now."""
        with self._lock:
            return frozenset(self._resident)

    def usable(self) -> frozenset[Operation]:
        """Return the operations that can be admitted: all but those whose engine could not be loaded a moment ago.

        Where it is empty, this process can do nothing for anybody.
        """
        with self._lock:
            now_s = self._seconds()
            return frozenset(
                one for one in self._engines if one not in self._troubles or self._troubles[one].until_s <= now_s
            )

    def report(self) -> HostReport:
        """Return how things are."""
        with self._lock:
            return HostReport(
                resident=frozenset(self._resident),
                device_bytes={one: self._weights[one] for one in self._resident if one in self._weights},
                loads=self._loads,
                swaps=self._swaps,
                last_swap_s=self._last_swap_s,
                mean_swap_s=self._swapped_s / self._swaps if self._swaps else None,
                failed_loads=self._failed_loads,
            )

    def unload(self) -> None:
        """Unload every engine, wherever it is. Idempotent."""
        for engine in self._engines.values():
            engine.unload()
        with self._lock:
            self._resident.clear()
            self._parked.clear()

    def _bring(self, operation: Operation) -> None:
        with self._lock:
            leaving = self._in_the_way_of(operation)
        for one in leaving:
            self._dismiss(one)
        try:
            self._load(operation)
        except EngineNoRoomError:
            with self._lock:
                beside = list(self._resident)
                if not beside:
                    raise
                self._too_much.append(frozenset([operation, *beside]))
        else:
            self._keep_to_the_memory(operation)
            return
        # Not inside the handler: until its end the error's frames hold what they had on the device.
        for one in beside:
            self._dismiss(one)
        self._load(operation)

    def _keep_to_the_memory(self, operation: Operation) -> None:
        """Dismiss what turns out to be too much beside this one, now that it has been measured."""
        while len(self._resident) > 1 and not self._fit(frozenset(self._resident)):
            self._dismiss(next(one for one in self._resident if one is not operation))

    def _load(self, operation: Operation) -> None:
        engine, was_parked = self._engines[operation], operation in self._parked
        began_s = self._seconds()
        engine.load()
        load_s = self._seconds() - began_s
        with self._lock:
            self._come_s[operation, was_parked] = load_s
            self._loads += not was_parked
            if isinstance(engine, Parkable):
                self._weights[operation] = engine.device_bytes
            self._parked.discard(operation)
            self._resident.append(operation)
        if not was_parked:
            _logger.info(
                "model_loaded",
                extra={
                    "operation": operation.value,
                    "seconds": round(load_s, 4),
                    "device_bytes": self._weights.get(operation),
                },
            )

    def _dismiss(self, operation: Operation) -> None:
        engine = self._engines[operation]
        is_parkable = isinstance(engine, Parkable)
        with self._lock:
            # Before it leaves: whatever becomes of that, it cannot run any more.
            self._resident.remove(operation)
            if is_parkable:
                self._parked.add(operation)
        began_s = self._seconds()
        if isinstance(engine, Parkable):
            engine.park()
        else:
            engine.unload()
        with self._lock:
            self._leave_s[operation] = self._seconds() - began_s

    def _in_the_way_of(self, operation: Operation) -> list[Operation]:
        """Return who must leave, as far as is known, for this one to come."""
        staying, leaving = list(self._resident), []
        while staying and not self._fit(frozenset([operation, *staying])):
            leaving.append(staying.pop(0))
        return leaving

    def _fit(self, together: frozenset[Operation]) -> bool:
        if any(too_much <= together for too_much in self._too_much):
            return False
        return self._memory_bytes is None or sum(self._weights.get(one, 0) for one in together) <= self._memory_bytes

    def _note_failure(self, operation: Operation, error: EngineLoadError) -> None:
        with self._lock:
            failures = self._troubles[operation].failures + 1 if operation in self._troubles else 1
            pause_s = min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
            self._troubles[operation] = _Trouble(failures, self._seconds() + pause_s)
            self._failed_loads += 1
        _logger.error(
            "model_load_failed",
            extra={
                "operation": operation.value,
                "code": error.code,
                "why": error.message,
                "failures": failures,
                "next_try_s": pause_s,
            },
        )
