"""One part, measured: run by benchmarks/qwen3_asr.py as a process of its own.

    python -m benchmarks.qwen3.measure PART FOLDER REPEATS LIMIT_S

FOLDER holds the vocabulary and gets PART.json, written anew after every workload, so that what was measured stays
where a later workload kills the process.
"""

import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.qwen3 import peaks
from benchmarks.qwen3.parts import Part, real_parts, tiny_parts
from benchmarks.qwen3.sides import Clips, Side, make
from benchmarks.qwen3.sizes import SIZES
from benchmarks.qwen3.workloads import Workload

_WARM_UPS = 2
_LEAST_REPEATS = 3
"""Where the limit is reached before all are made."""
_STAGE_REPEATS = 5


def main(part_name: str, folder: Path, repeats: int, limit_s: float) -> None:
    """Measure a part and write down what came of it, workload by workload."""
    part = next(part for part in (*real_parts(), *tiny_parts()) if part.name == part_name)
    is_tiny = part.model.startswith("tiny")
    device = torch.device("cpu" if is_tiny else "cuda")
    if is_tiny:
        # More would only get into each other's way.
        torch.set_num_threads(1)
    dtype = torch.float32 if is_tiny else torch.bfloat16
    written: dict[str, Any] = {"part": part.name, "model": part.model, "side": part.side}
    written |= {"machine": _machine(device), "peaks": peaks.measure(device), "cases": []}
    began_s = time.perf_counter()
    if part.aligns:
        cases = _aligning(part, folder, device, dtype, repeats, limit_s)
    else:
        side = make(part.side, SIZES[part.model], folder, device, dtype, part.workloads)
        written["setup_s"] = {"model and all": time.perf_counter() - began_s} | side.setup_s
        cases = (_recognising(side, workload, device, repeats, limit_s) for workload in part.workloads)
    for case in cases:
        written["cases"].append(case)
        (folder / f"{part.name}.json").write_text(json.dumps(written), encoding="utf-8")
        print(f"{part.name}: {case['workload']}: {case.get('error') or _short(case)}", file=sys.stderr, flush=True)


def _short(case: dict[str, Any]) -> str:
    took_s = median(case["took_s"])
    return f"{1000 * took_s:.1f} ms, {case['audio_s'] / took_s:.0f} audio s/s"


def _recognising(side: Side, workload: Workload, device: torch.device, repeats: int, limit_s: float) -> dict[str, Any]:
    clips = workload.clips()
    case: dict[str, Any] = {
        "workload": workload.name,
        "audio_s": workload.audio_s,
        "tokens": sum(workload.n_new_tokens),
        "kind": "recognition",
    }

    def everything() -> None:
        _generate(side, workload, clips)

    try:
        case |= _timed(everything, device, repeats, limit_s)
        if len(clips) <= workload.at_once:
            case["stages_s"] = _stages(side, workload, clips, device, median(case["took_s"]))
    except torch.OutOfMemoryError:
        case["error"] = "out of memory"
    # The next workload starts from nothing, as does the error's traceback with all that it holds.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return case


def _generate(side: Side, workload: Workload, clips: Clips) -> None:
    """Hand the clips over: all at once to whoever can refill its rows, else as many as go at once."""
    most = len(clips) if _refills(side) else workload.at_once
    for first in range(0, len(clips), most):
        asked = workload.n_new_tokens[first : first + most]
        made = side.generate(clips[first : first + most], asked)
        assert made >= sum(asked), f"{made} ids of {sum(asked)}: a text ended early"


def _refills(side: Side) -> bool:
    return type(side).__name__ == "Ours"


def _stages(side: Side, workload: Workload, clips: Clips, device: torch.device, whole_s: float) -> dict[str, float]:
    """Return what each stage takes: two alone, two as differences, since no side lets one look inside."""

    def alone(work: Callable[[], object]) -> float:
        return median(_timed(work, device, _STAGE_REPEATS, 30.0)["took_s"])

    spectra = side.spectra(clips)
    spectra_s = alone(lambda: side.spectra(clips))
    heard_s = alone(lambda: side.hear(spectra))
    first_token_s = alone(lambda: side.generate(clips, [1] * len(clips)))
    steps = max(workload.n_new_tokens) - 1
    return {
        "spectra": spectra_s,
        "encoder": heard_s,
        "prefill": first_token_s - spectra_s - heard_s,
        "a step": (whole_s - first_token_s) / max(1, steps),
    }


def _aligning(
    part: Part, folder: Path, device: torch.device, dtype: torch.dtype, repeats: int, limit_s: float
) -> list[dict[str, Any]]:
    from benchmarks.qwen3.aligners import SIDES

    aligner = SIDES[part.side](SIZES[part.model], folder, device, dtype)
    cases = []
    for workload in part.workloads:
        clips = workload.clips()
        case = {"workload": workload.name, "audio_s": workload.audio_s, "tokens": 0, "kind": "alignment"}
        cases.append(case | _timed(lambda clips=clips: aligner.align(clips), device, repeats, limit_s))
    return cases


def _timed(work: Callable[[], object], device: torch.device, repeats: int, limit_s: float) -> dict[str, Any]:
    """Return seconds of every repeat, from the host's call to the device's end, and the most memory that was taken."""
    began_s = time.perf_counter()
    firsts = [_once(work, device) for _ in range(_WARM_UPS)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    took_s: list[float] = []
    while len(took_s) < repeats and (len(took_s) < _LEAST_REPEATS or time.perf_counter() - began_s < limit_s):
        took_s.append(_once(work, device))
    peak_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    # What a first run takes beyond a later one is compiled or captured once.
    return {"took_s": took_s, "first_s": firsts[0], "peak_bytes": peak_bytes}


def _once(work: Callable[[], object], device: torch.device) -> float:
    began_s = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began_s


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "transformers", "numpy"))
    return f"{name}; Python {platform.python_version()}, {packages}"


def _arguments(given: Sequence[str]) -> tuple[str, Path, int, float]:
    return given[0], Path(given[1]), int(given[2]), float(given[3])


if __name__ == "__main__":
    main(*_arguments(sys.argv[1:]))
