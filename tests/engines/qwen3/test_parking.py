"""Two recognisers on one device that holds one of them: what each says stays what it was, and nothing grows."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

from asr_queue.errors import EngineNoRoomError
from gpu_worker.engine import EngineSettings, Parkable, SpeechInput
from gpu_worker.engines import qwen3_asr
from gpu_worker.engines.pytorch import arena as arenas
from gpu_worker.engines.pytorch import residence
from gpu_worker.engines.pytorch.arena import arena_on
from gpu_worker.engines.qwen3 import memory
from gpu_worker.engines.qwen3.generation import Generator
from gpu_worker.engines.qwen3_asr import Qwen3AsrEngine
from tests.engines.clips import value_of
from tests.engines.qwen3 import tiny

CPU = torch.device("cpu")
GROWTH_BYTES = 8 << 20
"""What the allocator may keep for itself; one copy of the smallest image a swap would come to as much in ten swaps."""


@pytest.fixture
def engines(settings: EngineSettings, tmp_path: Path) -> Iterator[list[Qwen3AsrEngine]]:
    """Of other weights each, and other sizes: one has no aligner."""
    other = tiny.save_speaker(tmp_path, seed=1)
    made = [Qwen3AsrEngine(settings), Qwen3AsrEngine(replace(settings, model=str(other), aligner="none"))]
    yield made
    for engine in made:
        engine.unload()


def _heard(engine: Qwen3AsrEngine) -> list[object]:
    inputs = [
        SpeechInput(samples=tiny.clip(seconds, seed), language="en", want_words=True, has_speech=True)
        for seed, seconds in enumerate((0.6, 2.0, 4.5))
    ]
    return [value_of(outcome) for outcome in engine.run(inputs)]


def test_a_hundred_swaps_change_no_output_no_address_and_no_memory(
    engines: list[Qwen3AsrEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LONGEST_S", 60.0)
    monkeypatch.setattr(memory, "LONGEST_WITH_WORDS_S", 60.0)
    before = []
    for engine in engines:
        assert isinstance(engine, Parkable)
        engine.load()
        before.append(_heard(engine))
        engine.park()
    assert before[0] != before[1]
    captured: list[Generator] = []
    monkeypatch.setattr(Generator, "capture", lambda generator: captured.append(generator))
    held, seen = [], [set[int](), set[int]()]
    for turn, which in enumerate(islice(cycle((0, 1)), 100)):
        engine = engines[which]
        engine.load()
        assert engine.device_bytes > 0
        seen[which].add(hash(tuple(tensor.data_ptr() for tensor in _tensors(engine))))
        if turn < 4 or turn >= 96:
            assert _heard(engine) == before[which]
        engine.park()
        if turn in (9, 99):
            held.append(_resident_bytes())
        assert arena_on(CPU).n_bytes < 1.001 * max(_image_and_scratch(one) for one in engines)
    assert [len(addresses) for addresses in seen] == [1, 1]
    assert len(captured) == 2, "each once, when it first came to the arena"
    assert held[1] - held[0] < GROWTH_BYTES


def test_with_no_room_on_the_host_it_is_unloaded(
    engines: list[Qwen3AsrEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines[0]
    engine.load()
    before = _heard(engine)

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(residence, "Movable", full)
        engine.park()
    assert engine.device_bytes == 0
    with pytest.raises(RuntimeError, match="before load"):
        _heard(engine)
    engine.load()
    assert _heard(engine) == before


@pytest.mark.parametrize("what", ["the lot", "the steps"])
def test_with_no_room_on_the_device_it_stays_parked_and_can_be_tried_again(
    engines: list[Qwen3AsrEngine], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    engine = engines[0]
    engine.load()
    before = _heard(engine)
    engine.park()
    captured: list[object] = []

    def full(*_: object, **__: object) -> None:
        captured.append(None)
        raise torch.OutOfMemoryError("It is full.")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(*((arenas.Arena, "enter") if what == "the lot" else (Generator, "capture")), full)
            with pytest.raises(EngineNoRoomError, match="It is full"):
                engine.load()
        assert engine.device_bytes == 0
        assert arena_on(CPU).n_bytes == 0
    assert len(captured) == 2, "steps whose capture failed are not taken for captured"
    engine.load()
    assert _heard(engine) == before


def test_memory_that_is_too_little_for_a_load_is_told_from_a_checkpoint_that_is_bad(settings: EngineSettings) -> None:
    engine = Qwen3AsrEngine(replace(settings, memory_bytes=1 << 20))
    with pytest.raises(EngineNoRoomError, match="left beside the weights"):
        engine.load()
    assert engine.device_bytes == 0


def test_less_memory_makes_a_smaller_cache(settings: EngineSettings) -> None:
    held = []
    for_work = memory._work_bytes(tiny.config(), settings.micro_batch, torch.float32)
    for memory_bytes in (None, 2 * round(for_work + (20 << 20))):
        engine = Qwen3AsrEngine(replace(settings, memory_bytes=memory_bytes))
        engine.load()
        held.append(engine.device_bytes)
        engine.unload()
    assert held[0] > 2 * held[1] > 0


def _tensors(engine: Qwen3AsrEngine) -> list[torch.Tensor]:
    assert engine._parts is not None
    return [*qwen3_asr._weights(engine._parts), *engine._parts.generator.scratch()]


def _image_and_scratch(engine: Qwen3AsrEngine) -> int:
    assert engine._residence.n_bytes is not None
    return engine._residence.n_bytes


def _resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024
