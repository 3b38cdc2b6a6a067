"""Where a model computes and in what type, what memory there is, and how it is given back."""

import ctypes
import gc
import os
from typing import Final, NamedTuple

import torch

from asr_queue.errors import EngineLoadError
from gpu_worker.engine import EngineSettings

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Placement(NamedTuple):
    """Where the weights go, and their type."""

    device: torch.device
    dtype: torch.dtype


def placement(settings: EngineSettings) -> Placement:
    """Return what the settings name; by default the GPU and bfloat16, and without one the processor and float32.

    Raises:
        EngineLoadError: there is no such device or type, or the GPU cannot compute in this type.
    """
    name = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # PyTorch built without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise EngineLoadError(f"Device {name!r} cannot be used: {error}") from error
    dtype_name = settings.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    if dtype_name not in _DTYPES:
        raise EngineLoadError(f"There is no dtype {dtype_name!r} here; known are: {', '.join(_DTYPES)}.")
    return Placement(device, _DTYPES[dtype_name])


def free_bytes(device: torch.device, *, allowed_bytes: int | None = None) -> int:
    """Return how much memory of the device nobody uses, PyTorch's own reserve counted as used by nobody.

    Args:
        device: a GPU, or the processor.
        allowed_bytes: what PyTorch may hold of a GPU in this process, or is to take of the host; None for all.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        allocated = torch.cuda.memory_allocated(device)
        left = int(free) + torch.cuda.memory_reserved(device) - allocated
        return left if allowed_bytes is None else max(0, min(left, allowed_bytes - allocated))
    left = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return left if allowed_bytes is None else min(left, allowed_bytes)


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is what NumPy or PyTorch raise when there is no memory left."""
    # On a processor PyTorch raises a bare RuntimeError; only its text tells what happened.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def give_memory_back() -> None:
    """Give what is not used any more back to the device and to the system."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        # Only glibc has it.
        return
