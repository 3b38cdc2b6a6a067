"""What the device can do at the most, measured in the process that is compared with it."""

import time
from collections.abc import Callable
from statistics import median

import torch

_BF16_SIDE = 8192
_COPIED_BYTES = 4 << 30
_STAGED_BYTES = 64 << 20


def measure(device: torch.device) -> dict[str, float]:
    """Return `flop_s` of a large matrix product, `bytes_s` of a copy on the device, `staged_bytes_s` from the host."""
    on_gpu = device.type == "cuda"
    side, dtype = (_BF16_SIDE, torch.bfloat16) if on_gpu else (512, torch.float32)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product_s = _median_s(lambda: a @ b, device)
    source = torch.empty(_COPIED_BYTES if on_gpu else 32 << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    # A byte is read and one is written.
    copied_s = _median_s(lambda: target.copy_(source), device) / 2
    host = torch.empty(_STAGED_BYTES, dtype=torch.uint8, pin_memory=on_gpu)
    staged_s = _median_s(lambda: target[:_STAGED_BYTES].copy_(host[: len(target)], non_blocking=True), device)
    return {
        "flop_s": 2 * side**3 / product_s,
        "bytes_s": len(source) / copied_s,
        "staged_bytes_s": min(len(target), _STAGED_BYTES) / staged_s,
    }


def _median_s(work: Callable[[], object], device: torch.device) -> float:
    """Return the median of ten runs, waiting for the device on both sides of each."""
    took_s = []
    for _ in range(13):
        began_s = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took_s.append(time.perf_counter() - began_s)
    return median(took_s[3:])
