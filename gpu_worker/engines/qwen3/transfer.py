"""Small arrays from the host to the model's device, without waiting for it."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def send(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return a copy of `array` on `device`; on CUDA it is queued behind what was asked of the current stream before."""
    if device.type == "cpu":
        return torch.from_numpy(array)
    # Only from pinned memory is a copy asynchronous; the allocator keeps the block until the copy has been made.
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)
