"""What it takes to change the model on a device that may hold one of two, each of 1.7B.

    python -m benchmarks.swap                  # on a GPU, into benchmarks/results/swap.md; a part of `make bench-gpu`
    python -m benchmarks.swap --tiny           # every line of it on a processor, with tiny models: measures nothing

Two engines take turns as in the worker: the model host admits one and parks the other. Both are the Qwen3-ASR engine
over random weights of the real size, and differ: one has its aligner, and one stands for the voice engine, whose
decoder has the same architecture and size.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_queue.domain.items import Operation
from benchmarks.qwen3 import models, vocabulary
from benchmarks.qwen3.sizes import SIZES
from benchmarks.report import RESULTS, machine, table
from gpu_worker.engine import NO_ALIGNER, EngineSettings
from gpu_worker.engines.qwen3.mel import SAMPLE_RATE_HZ
from gpu_worker.engines.qwen3.requests import Request
from gpu_worker.engines.qwen3_aligner import AlignmentInput
from gpu_worker.engines.qwen3_asr import Qwen3AsrEngine
from gpu_worker.model_host import ModelHost

_PACKAGES = ("torch", "transformers", "numpy")
_WANTED_MS = 250.0
_FIRST_SWAPS = 4
"""Two of each engine: in those its image is made, and its steps are captured where it will be from then on."""
_COMPARED_EVERY = 10
_CLIPS_S = (1.0, 2.5, 4.0, 7.5)
_NEW_TOKENS = 48
_COPIES = 5
_TINY_NOTE = """
Tiny models with random weights on the processor, since no GPU was lent: it shows that outputs and memory stay what they
were, not how long a swap takes. On a GPU: `python -m benchmarks.swap`.
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is taken, in bytes."""

    allocated: int
    """By PyTorch on a GPU; 0 on a processor, where nobody counts."""
    used: int
    """Of the GPU by everybody; on a processor what this process holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out."""

    loads_s: list[float]
    first_s: list[float]
    swaps_s: list[float]
    reload_s: float
    """One engine unloaded and the other loaded: what a swap was."""
    copy_s: float
    """The larger image alone, from where it is to the device."""
    image_bytes: int
    device_bytes: list[int]
    early: Memory
    late: Memory
    """After the first swaps and after the last, the same engine resident."""
    compared: int
    differing: int
    """Outputs that were not those before the first swap."""


def measure(folder: Path, *, tiny: bool, micro_batch: int, swaps: int) -> Measured:
    """Build both models, load them, swap them, and compare what they say."""
    device = torch.device("cpu" if tiny else "cuda")
    engines = _engines(folder, device, micro_batch, tiny=tiny)
    # One alone may exceed it, two may not: so one is resident, however large the device is.
    host = ModelHost(engines, memory_bytes=1)
    loads_s, before, device_bytes = [], {}, []
    for operation, engine in engines.items():
        loads_s.append(host.admit(operation))
        device_bytes.append(engine.device_bytes)
        before[operation] = _output(engine)
    if len(set(before.values())) < len(before):
        raise RuntimeError("the models say the same: it would not show if they got mixed up")
    turns = cycle(engines)
    first_s = [host.admit(operation) for operation in islice(turns, _FIRST_SWAPS)]
    for operation in islice(turns, len(engines)):
        # What a first pass leaves with the process is no growth.
        host.admit(operation)
        _output(engines[operation])
    early, compared, differing, swaps_s = _memory(device), 0, 0, []
    for n_swap, operation in enumerate(islice(turns, swaps)):
        swaps_s.append(host.admit(operation))
        if n_swap % _COMPARED_EVERY < len(engines) or n_swap >= swaps - len(engines):
            compared += 1
            differing += _output(engines[operation]) != before[operation]
    late = _memory(device)
    image = _images(engines)[0]
    copy_s = _copy_s(image, device)
    reload_s = _reload_s(*engines.values())
    host.unload()
    return Measured(
        loads_s=loads_s,
        first_s=first_s,
        swaps_s=swaps_s,
        reload_s=reload_s,
        copy_s=copy_s,
        image_bytes=image.numel(),
        device_bytes=device_bytes,
        early=early,
        late=late,
        compared=compared,
        differing=differing,
    )


def _engines(folder: Path, device: torch.device, micro_batch: int, *, tiny: bool) -> dict[Operation, Qwen3AsrEngine]:
    size, aligner = SIZES["tiny" if tiny else "1.7b"], SIZES["tiny-aligner" if tiny else "aligner"]
    dtype = torch.float32 if tiny else torch.bfloat16
    places = {name: folder / name for name in ("asr", "aligner", "other")}
    for name, place in places.items():
        place.mkdir()
        ids = vocabulary.write(place)
        make = models.recogniser if name != "aligner" else models.aligner
        model = make(size if name != "aligner" else aligner, ids, device, dtype)
        if name == "other":
            _turn_around(model)
        model.save_pretrained(place)
        del model
        gc.collect()

    def engine(name: str, aligner: str) -> Qwen3AsrEngine:
        settings = EngineSettings(
            cache_dir=folder,
            model=str(places[name]),
            aligner=aligner,
            device=device.type,
            micro_batch=micro_batch,
        )
        return Qwen3AsrEngine(settings)

    return {
        Operation.TRANSCRIBE: engine("asr", str(places["aligner"])),
        Operation.VOICE_CLONE: engine("other", NO_ALIGNER),
    }


def _turn_around(model: Any) -> None:
    """Make another model of it: weights are drawn by their names, so that all of a size are the same."""
    for name, weight in model.named_parameters():
        if "embed_tokens" not in name and weight.ndim > 1:
            weight.data = weight.data.flip(0)


def _output(engine: Qwen3AsrEngine) -> tuple[object, ...]:
    """Return the ids that the engine generates for some clips, and the times that its aligner gives."""
    parts = engine._running()
    noise = np.random.default_rng(0).normal(0, 0.1, round(max(_CLIPS_S) * SAMPLE_RATE_HZ)).astype(np.float32)
    clips = [noise[: round(seconds * SAMPLE_RATE_HZ)] for seconds in _CLIPS_S]
    around = {"before": parts.prompts.before(), "after": parts.prompts.behind("en"), "max_new_tokens": _NEW_TOKENS}
    said = parts.generator.generate([Request(samples=clip, **around) for clip in clips])
    if parts.aligner is None:
        return tuple(said)
    wanted = [AlignmentInput(samples=clip, text=vocabulary.WORDS, language="en") for clip in clips]
    return (*said, str(parts.aligner.run(wanted)))


def _images(engines: Mapping[Operation, Qwen3AsrEngine]) -> list[Tensor]:
    """Return what is copied in a swap, the largest first."""
    movables = [engine._residence._movable for engine in engines.values()]
    return sorted((one._image for one in movables if one is not None), key=lambda image: -image.numel())


def _copy_s(image: Tensor, device: torch.device) -> float:
    target = torch.empty_like(image, device=device)
    return min(_timed(lambda: target.copy_(image), device) for _ in range(_COPIES))


def _reload_s(one: Qwen3AsrEngine, other: Qwen3AsrEngine) -> float:
    one.unload()
    other.load()

    def change() -> None:
        other.unload()
        one.load()

    return _timed(change, None)


def _timed(call: Callable[[], object], device: torch.device | None) -> float:
    began_s = time.perf_counter()
    call()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began_s


def _memory(device: torch.device) -> Memory:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        free, total = torch.cuda.mem_get_info(device)
        return Memory(torch.cuda.memory_allocated(device), total - free)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return Memory(0, int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024)


def report(measured: Measured, *, tiny: bool, micro_batch: int) -> str:
    """Return the result in words and a table."""
    swaps_ms = [1000 * seconds for seconds in measured.swaps_s]
    growth = measured.late.used - measured.early.used
    allocated = measured.late.allocated - measured.early.allocated
    rows = [
        ["first load", _spread_ms(measured.loads_s)],
        [f"first {_FIRST_SWAPS} swaps", _spread_ms(measured.first_s)],
        [f"the {len(swaps_ms)} swaps after", _spread_ms(measured.swaps_s)],
        [f"the copy alone, {_size(measured.image_bytes)}", f"{1000 * measured.copy_s:.2f}"],
        ["unload one, load the other", f"{1000 * measured.reload_s:.0f}"],
    ]
    where = "tiny models on the processor" if tiny else torch.cuda.get_device_name()
    of_others = "of this process" if tiny else "of the device"
    sizes = " and ".join(map(_size, measured.device_bytes))
    return f"""# Changing the model on the device

- **{median(swaps_ms):.2f} ms** a swap, the slowest of {len(swaps_ms)} {max(swaps_ms):.2f}; \
wanted: less than {_WANTED_MS:.0f}, of 1.7B on a GPU.
- **{measured.differing} of {measured.compared}** outputs differ from those before the first swap; wanted: none.
- Memory over {len(swaps_ms)} swaps: {growth / 2**20:+.2f} MiB {of_others}, {allocated:+} bytes allocated by PyTorch; \
wanted: no growth.

{table(["", "ms: median (least-most)"], rows)}

- Machine: {where}; {machine(_PACKAGES)}.
- Two recognisers with random weights, which take turns in one arena under the model host; one has its aligner, and one
  stands for the voice engine. With {micro_batch} inputs a pass, weights and cache take {sizes}.
- A swap is what `ModelHost.admit` takes: the one leaves, and the other is back and can run. The first ones make the
  images and capture the steps.
- Compared are the ids of {len(_CLIPS_S)} generated texts and the aligner's times, every {_COMPARED_EVERY} swaps and \
at the end.
{_TINY_NOTE if tiny else ""}"""


def _spread_ms(seconds: Sequence[float]) -> str:
    milliseconds = [1000 * one for one in seconds]
    return f"{median(milliseconds):.2f} ({min(milliseconds):.2f}-{max(milliseconds):.2f})"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.2f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and keep the result; return 1 where an output changed, or on a GPU the memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny models on the processor: tries it, measures nothing")
    parser.add_argument("--swaps", type=int, default=100, help="how many, at least 2 (100)")
    parser.add_argument("--micro-batch", type=int, default=16, help="most inputs of a pass (16)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the report")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), tiny=given.tiny, micro_batch=given.micro_batch, swaps=given.swaps)
    text = report(measured, tiny=given.tiny, micro_batch=given.micro_batch)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "swap.md").write_text(text, encoding="utf-8")
    print(text)
    return int(measured.differing > 0 or measured.late.allocated > measured.early.allocated)


if __name__ == "__main__":
    sys.exit(main())
