"""Device memory in which the models of a process take turns, so that a change of model is one copy.

    host, pinned   [ image of A ]  [ image of B ]     flat; made when a model leaves for the first time, then only read
                          │ one copy
                          ▼
    device         [ image      │ scratch │      ]    a lot, large enough for each of them

A model comes back to the addresses it had, so graphs that were captured there stay valid. What shares memory (tied
weights, views of a fused matrix) is moved as one and shares it in every place; types may be mixed.

Where all models fit at once none ever leaves, and there is no lot.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from gpu_worker.engines.pytorch.layout import lay_out

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lot:
    buffer: Tensor
    """uint8, on the device."""
    model: "Movable | None" = None
    """Whose tensors are in it."""


class Arena:
    """The lots of one device: usually one. For one thread, which owns the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._models: list[Movable] = []
        self._lots: list[_Lot] = []

    @property
    def n_bytes(self) -> int:
        """What its lots take of the device, whether or not a model is in them."""
        return sum(lot.buffer.numel() for lot in self._lots)

    def add(self, model: "Movable") -> None:
        """Have the lots large enough for this one from now on."""
        self._models.append(model)

    def remove(self, model: "Movable") -> None:
        """Forget it."""
        self._models.remove(model)
        self.leave(model)

    def enter(self, model: "Movable") -> Tensor:
        """Return memory that is the model's until it leaves: the same as before, where that is free.

        Raises:
            torch.OutOfMemoryError: there is none; on a processor PyTorch raises a RuntimeError.
        """
        free = [lot for lot in self._lots if lot.model is None and lot.buffer.numel() >= model.n_bytes]
        lot = next((lot for lot in free if lot.buffer.data_ptr() == model.address), free[0] if free else None)
        if lot is None:
            # Those that are free are too small.
            self._drop_free_lots()
            n_bytes = max(one.n_bytes for one in self._models)
            lot = _Lot(torch.empty(n_bytes, dtype=torch.uint8, device=self.device))
            self._lots.append(lot)
        lot.model = model
        return lot.buffer[: model.n_bytes]

    def leave(self, model: "Movable") -> None:
        """Free the model's lot for others; where there are none, the device has it back."""
        for lot in self._lots:
            if lot.model is model:
                lot.model = None
        if len(self._models) < 2:
            self._drop_free_lots()

    def _drop_free_lots(self) -> None:
        n_lots = len(self._lots)
        self._lots = [lot for lot in self._lots if lot.model is not None]
        if len(self._lots) < n_lots and self.device.type == "cuda":
            # For neighbours in other processes. Not a garbage collection: it would take longer than a swap.
            torch.cuda.empty_cache()


class Movable:
    """The tensors of a model, which it goes on using wherever they are."""

    def __init__(
        self, weights: Iterable[Tensor], scratch: Iterable[Tensor] = (), *, arena: Arena | None = None
    ) -> None:
        """Copy the weights to the host; the tensors stay where they are until `go`.

        Args:
            weights: every tensor object that the model computes with and never writes to, on one device; at least one.
            scratch: those that it writes to, whose contents may be lost between two runs: they come back as zeros.
            arena: where the model comes back to; None for the one that all models on this device share.

        Raises:
            RuntimeError: the host has no room.
        """
        weights, scratch = list(weights), list(scratch)
        self._arena = arena_on(weights[0].device) if arena is None else arena
        blocks, self._kept, image_bytes = lay_out(weights, 0)
        _, self._lost, n_bytes = lay_out(scratch, image_bytes)
        self.n_bytes = n_bytes
        """What it takes of the device: the image, and the scratch behind it."""
        self.address: int | None = None
        """Where it is, or was last; None where it has not been in the arena."""
        self._image = torch.empty(image_bytes, dtype=torch.uint8)
        self._is_pinned = _pin(self._image, self._arena.device)
        for block in blocks:
            self._image[block.place : block.place + block.n_bytes].copy_(block.bytes())
        self._arena.add(self)

    def go(self) -> None:
        """Leave the device: the weights are the host's image now, and the scratch is nothing."""
        _wait_for(self._arena.device)
        for place in self._kept:
            place.tensor.data = place.view(self._image)
        for place in self._lost:
            place.tensor.data = torch.empty(0, dtype=place.tensor.dtype)
        self._arena.leave(self)

    def come(self) -> bool:
        """Come back from the host, and say whether the addresses are others than the last time in the arena.

        Raises:
            torch.OutOfMemoryError: as of `Arena.enter`; nothing has changed then.
        """
        lot = self._arena.enter(self)
        lot[: self._image.numel()].copy_(self._image, non_blocking=True)
        lot[self._image.numel() :].zero_()
        for place in (*self._kept, *self._lost):
            place.tensor.data = place.view(lot)
        _wait_for(self._arena.device)
        has_moved = lot.data_ptr() != self.address
        self.address = lot.data_ptr()
        return has_moved

    def give_up(self) -> None:
        """Leave, or stay away, and take the addresses for others the next time, whatever they are."""
        self.address = None
        self.go()

    def forget(self) -> None:
        """Give up the image and the place in the arena; the tensors must not be used afterwards."""
        self._arena.remove(self)
        if self._is_pinned:
            self._is_pinned = False
            torch.cuda.check_error(_cudart().cudaHostUnregister(self._image.data_ptr()))


_arenas: Final[dict[torch.device, Arena]] = {}


def arena_on(device: torch.device) -> Arena:
    """Return the arena that all models of this process on this device share."""
    return _arenas.setdefault(device, Arena(device))


def _pin(image: Tensor, device: torch.device) -> bool:
    """Lock the image's pages, so that the device copies from them at full speed; whether that was done.

    Not by PyTorch's own allocator of pinned memory, which takes the next power of two.
    """
    if device.type != "cuda":
        return False
    try:
        torch.cuda.check_error(_cudart().cudaHostRegister(image.data_ptr(), image.numel(), 0))
    except RuntimeError as error:
        # A limit of the system: copies take longer, and are right.
        _logger.warning("image_not_pinned", extra={"bytes": image.numel(), "why": str(error)})
        with suppress(RuntimeError):
            # The next launch would be blamed for what CUDA remembers as its last error: let it be this one.
            torch.zeros(1, device=device)
        return False
    return True


def _cudart() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
