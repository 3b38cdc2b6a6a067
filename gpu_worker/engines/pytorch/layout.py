"""Where tensors lie in one flat piece of memory, so that those that share memory still do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

_ALIGNED_BYTES: Final = 512
"""As PyTorch's allocator aligns on CUDA; kernels may choose their way by it."""


@dataclass(slots=True)
class Block:
    """Bytes of a storage that are moved as one, because tensors share them."""

    storage: torch.UntypedStorage
    start: int
    end: int
    place: int
    """Where in the piece it begins."""

    @property
    def n_bytes(self) -> int:
        """How long it is."""
        return self.end - self.start

    def bytes(self) -> Tensor:
        """Return what is in it now: uint8[n_bytes], a view."""
        empty = torch.empty(0, dtype=torch.uint8, device=self.storage.device)
        return empty.set_(self.storage, self.start, (self.n_bytes,), (1,))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in the piece."""

    tensor: Tensor
    offset: int
    """In elements of its own type."""
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, piece: Tensor) -> Tensor:
        """Return what the tensor is in this piece, which begins where its storage does."""
        empty = torch.empty(0, dtype=self.tensor.dtype, device=piece.device)
        return empty.set_(piece.untyped_storage(), self.offset, self.size, self.stride)


class Layout(NamedTuple):
    """Where everything lies."""

    blocks: list[Block]
    places: list[Place]
    end: int
    """Bytes up to the end of the last block."""


def lay_out(tensors: Sequence[Tensor], start: int) -> Layout:
    """Lay the tensors out behind the first `start` bytes; what several of them share is there once.

    Args:
        tensors: tensor objects, of any types; the same object may come twice.
        start: bytes that are taken.
    """
    blocks: list[Block] = []
    places = []
    end = start
    for tensor in sorted(tensors, key=_begins_at):
        address, first = _begins_at(tensor)
        last = first + _extent_bytes(tensor)
        if not blocks or blocks[-1].storage.data_ptr() != address or blocks[-1].end <= first:
            end = -(-end // _ALIGNED_BYTES) * _ALIGNED_BYTES
            blocks.append(Block(tensor.untyped_storage(), first, first, end))
        block = blocks[-1]
        block.end = max(block.end, last)
        end = block.place + block.n_bytes
        offset, rest = divmod(block.place + first - block.start, tensor.element_size())
        assert not rest, "tensors of two types share memory in a way that cannot be aligned"
        places.append(Place(tensor, offset, tuple(tensor.shape), tensor.stride()))
    return Layout(blocks, places, end)


def _begins_at(tensor: Tensor) -> tuple[int, int]:
    """Return the address of its storage, and its first byte in it."""
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()) * tensor.element_size()


def _extent_bytes(tensor: Tensor) -> int:
    """Return how far behind its first byte the tensor reaches."""
    if not tensor.numel():
        return 0
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(steps + 1) * tensor.element_size()
