"""Models that take turns in one piece of memory: what they compute with is the same each time, at the same address."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from gpu_worker.engines.pytorch.arena import Arena, Movable, arena_on
from gpu_worker.engines.pytorch.layout import lay_out

CPU = torch.device("cpu")


class _Model(nn.Module):
    """Tied weights, views of a fused matrix, three types, a layout that is not contiguous, and a cache."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(17, width)
        self.head = nn.Linear(width, 17, bias=False)
        self.head.weight = self.embedding.weight
        self.fused = torch.randn(3 * width, width)
        self.parts = list(self.fused.split(width))
        self.images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
        self.half = torch.randn(7).bfloat16()
        self.register_buffer("ids", torch.arange(5))
        self.cache = torch.randn(width, 9)
        self.requires_grad_(False)

    def weights(self) -> Iterator[Tensor]:
        yield from self.parameters()
        yield from self.buffers()
        # The same storages as other objects, as code that has taken `.detach()` holds them.
        yield self.head.weight.detach()
        yield from (self.fused, *self.parts, self.images, self.half)


def _models(*widths: int, arena: Arena) -> list[tuple[_Model, Movable]]:
    made = [_Model(width) for width in widths]
    return [(one, Movable(one.weights(), [one.cache], arena=arena)) for one in made]


def _contents(model: _Model) -> list[Tensor]:
    return [tensor.clone() for tensor in model.weights()]


def test_what_comes_back_is_what_has_gone_bit_by_bit_and_shared_as_before() -> None:
    ((model, movable),) = _models(6, arena=Arena(CPU))
    before = _contents(model)
    movable.go()
    assert all(torch.equal(one, other) for one, other in zip(before, model.weights(), strict=True)), "it can be read"
    assert model.cache.numel() == 0
    movable.come()
    after = list(model.weights())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert [one.stride() for one in before] == [one.stride() for one in after]
    assert model.head.weight.data_ptr() == model.embedding.weight.data_ptr()
    model.fused.fill_(2.0)
    assert all((part == 2).all() for part in model.parts), "views are views of the same matrix"
    assert (model.cache == 0).all()
    assert model.cache.shape == (6, 9)


def test_a_hundred_swaps_keep_every_address_and_every_bit_and_take_no_memory() -> None:
    arena = Arena(CPU)
    models = _models(6, 11, arena=arena)
    before = [_contents(model) for model, _ in models]
    for _, movable in models:
        movable.go()
    assert arena.n_bytes == 0, "nobody has come yet"
    addresses: list[set[tuple[int, ...]]] = [set(), set()]
    moved = []
    for turn in range(100):
        model, movable = models[turn % 2]
        moved.append(movable.come())
        addresses[turn % 2].add(tuple(tensor.data_ptr() for tensor in (*model.weights(), model.cache)))
        assert all(map(torch.equal, before[turn % 2], model.weights()))
        assert not model.cache.any(), "the other one's bytes are not to be seen"
        model.cache.fill_(float("nan"))
        movable.go()
        assert arena.n_bytes == max(one.n_bytes for _, one in models)
    assert [len(seen) for seen in addresses] == [1, 1]
    assert moved == [True, True] + [False] * 98, "captured graphs have to be captured once"


def test_a_model_that_grows_the_arena_moves_the_others_once() -> None:
    arena = Arena(CPU)
    (small,) = _models(6, arena=arena)
    small[1].go()
    assert small[1].come()
    (large,) = _models(60, arena=arena)
    large[1].go()
    small[1].go()
    assert large[1].come()
    large[1].go()
    small[1].come()
    small[1].go()
    assert not large[1].come()
    large[1].go()
    assert not small[1].come()


def test_one_that_comes_while_another_is_there_has_memory_of_its_own() -> None:
    arena = Arena(CPU)
    (one, first), (other, second) = _models(6, 7, arena=arena)
    before = [_contents(one), _contents(other)]
    for movable in (first, second):
        movable.go()
    for movable in (first, second):
        movable.come()
    assert all(map(torch.equal, before[0] + before[1], [*one.weights(), *other.weights()]))
    assert arena.n_bytes == 2 * max(first.n_bytes, second.n_bytes)
    second.go()
    first.go()
    assert not second.come(), "each has its own place again, in whatever order they come"
    assert not first.come()


def test_memory_that_nobody_else_would_use_goes_back_to_the_device() -> None:
    arena = Arena(CPU)
    (_, first), (_, second) = _models(6, 7, arena=arena)
    for movable in (first, second):
        movable.go()
    first.come()
    second.forget()
    assert arena.n_bytes > 0, "the first one is in it"
    first.go()
    assert arena.n_bytes == 0
    first.come()
    first.forget()
    assert arena.n_bytes == 0


def test_where_the_device_has_no_room_the_model_stays_on_the_host() -> None:
    class Full(Arena):
        def enter(self, model: Movable) -> Tensor:
            raise torch.OutOfMemoryError

    ((model, movable),) = _models(6, arena=Full(CPU))
    before = _contents(model)
    movable.go()
    with pytest.raises(torch.OutOfMemoryError):
        movable.come()
    assert all(map(torch.equal, before, model.weights()))


def test_what_shares_memory_is_laid_out_once_and_everything_is_aligned() -> None:
    base = torch.arange(1000, dtype=torch.float32)
    tensors = [base[10:20], base[15:30], base[100:110], torch.ones(3).bfloat16(), base[10:20]]
    blocks, places, end = lay_out(tensors, 100)
    assert [block.n_bytes for block in blocks if block.storage.data_ptr() == base.data_ptr()] == [80, 40]
    assert all(block.place % 512 == 0 for block in blocks)
    assert sorted(block.place for block in blocks) == [512, 1024, 1536]
    assert max(block.place + block.n_bytes for block in blocks) == end
    assert {id(place.tensor) for place in places} == {id(tensor) for tensor in tensors}


def test_all_models_on_a_device_share_an_arena() -> None:
    assert arena_on(CPU) is arena_on(torch.device("cpu"))
