"""What happened when, in one process: passes, stages inside them, and the device."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch

_WINDOW = range(10, 30)
"""Passes whose kernels are traced: 20, and all that lies between them. More would take long to read."""
_NVML_EVERY_S = 0.1


@dataclass(slots=True)
class Timeline:
    """Filled while a stream runs; read afterwards."""

    device: torch.device
    passes: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each."""
    stages_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Inside the passes, in all."""
    traced_busy: float | None = None
    nvml_busy: float | None = None

    @property
    def wall_s(self) -> float:
        """From the begin of the first pass to the end of the last."""
        return self.passes[-1][1] - self.passes[0][0]

    @property
    def device_name(self) -> str:
        """For people."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "processor alone"

    @property
    def busy(self) -> float:
        """Share of `wall_s` in which the device computed; traced in a window on a GPU."""
        return self.stages_s["model"] / self.wall_s if self.traced_busy is None else self.traced_busy

    def shares(self) -> list[tuple[str, float]]:
        """Return where all of `wall_s` went, in seconds."""
        inside_s = sum(end - begin for begin, end in self.passes)
        known = [(f"in a pass: {stage}", seconds) for stage, seconds in self.stages_s.items()]
        other_s = inside_s - sum(self.stages_s.values())
        return [*known, ("in a pass: the rest", other_s), ("between passes", self.wall_s - inside_s)]


@contextmanager
def nvml(timeline: Timeline) -> Iterator[None]:
    """Ask the driver ten times a second how busy the GPU is, where there is one and a library to ask."""
    samples: list[int] = []
    finished = threading.Event()

    def ask() -> None:
        while not finished.wait(_NVML_EVERY_S):
            samples.append(torch.cuda.utilization(timeline.device))

    def may_ask() -> bool:
        try:
            torch.cuda.utilization(timeline.device)
        except ModuleNotFoundError:
            return False
        return True

    if timeline.device.type != "cuda" or not may_ask():
        yield
        return
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        finished.set()
        asking.join()
        # The first and the last second belong to no pass.
        timeline.nvml_busy = fmean(samples) / 100 if samples else None


class Trace:
    """CUDA's own record of kernels and copies in a window of passes."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._profile: Any = None

    def before(self, n_pass: int) -> None:
        """Begin with the window's first pass."""
        if self._timeline.device.type == "cuda" and n_pass == _WINDOW.start:
            self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profile.start()

    def after(self, n_pass: int) -> None:
        """End with its last."""
        if self._profile is not None and n_pass == _WINDOW.stop - 1:
            self._profile.stop()

    def read(self) -> None:
        """Work out how busy the device was between the window's first and last kernel."""
        if self._profile is None:
            return
        spans = sorted(
            (event.time_range.start, event.time_range.end)
            for event in self._profile.events()
            if event.device_type == torch.autograd.DeviceType.CUDA
        )
        if spans:
            self._timeline.traced_busy = union(spans) / (max(end for _, end in spans) - spans[0][0])


def union(spans: list[tuple[float, float]]) -> float:
    """Return how much is covered by spans that are sorted by their begin, and may overlap."""
    covered, reached = 0.0, float("-inf")
    for begin, end in spans:
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


@contextmanager
def timed(owner: Any, name: str, stage: str, timeline: Timeline, *, inside: str | None = None) -> Iterator[None]:
    """Count what a function of `owner` takes as a stage, and no longer as the stage that it is called inside."""
    original: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            took_s = time.perf_counter() - began_s
            # The engine warms up before the first pass begins.
            if timeline.passes:
                timeline.stages_s[stage] += took_s
                if inside is not None:
                    timeline.stages_s[inside] -= took_s

    with replaced(owner, name, counted):
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Have another attribute in the place of one while the block runs."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
