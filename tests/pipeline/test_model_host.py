"""Which models are on the device: over engines whose sizes and times are known, and a device that can be full."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from asr_queue.domain.items import Operation
from asr_queue.errors import EngineLoadError, EngineNoRoomError
from gpu_worker.engine import Done, Failed, Limits
from gpu_worker.model_host import ModelHost

ASR, TTS = Operation.TRANSCRIBE, Operation.VOICE_CLONE
_LIMITS = Limits(max_micro_batch=1, max_chunk_s=30.0, sample_rate_hz=16_000, languages=frozenset())


@dataclass
class _Device:
    """A device of so many bytes, and a clock that runs while it works."""

    total_bytes: int
    held: dict[str, int] = field(default_factory=dict)
    now_s: float = 100.0

    def take(self, name: str, size_bytes: int) -> None:
        if sum(self.held.values()) + size_bytes > self.total_bytes:
            raise EngineNoRoomError(f"No room for {name}.")
        self.held[name] = size_bytes

    def seconds(self) -> float:
        return self.now_s


class _Unloadable:
    """An engine that holds some of the device, and reads its weights from a slow disk each time."""

    def __init__(self, device: _Device, name: str, size_bytes: int, *, load_s: float = 4.0) -> None:
        self.device, self.name, self.size_bytes, self.load_s = device, name, size_bytes, load_s
        self.is_missing = False

    @property
    def limits(self) -> Limits:
        return _LIMITS

    def load(self) -> None:
        if self.name in self.device.held:
            return
        if self.is_missing:
            raise EngineLoadError(f"The weights of {self.name} are gone.")
        self.device.take(self.name, self.size_bytes)
        self.device.now_s += self.load_s

    def run(self, micro_batch: Sequence[str]) -> list[Done[str] | Failed]:
        if self.name not in self.device.held:
            raise RuntimeError("run before load")
        return [Done(one) for one in micro_batch]

    def unload(self) -> None:
        if self.device.held.pop(self.name, None) is not None:
            self.device.now_s += 0.5


class _Movable(_Unloadable):
    """One that keeps a copy of its weights on the host."""

    is_parked = False

    @property
    def device_bytes(self) -> int:
        return self.device.held.get(self.name, 0)

    def load(self) -> None:
        began_s, was_parked = self.device.now_s, self.is_parked
        super().load()
        if was_parked:
            self.device.now_s = began_s + 0.125
        self.is_parked = False

    def park(self) -> None:
        if self.device.held.pop(self.name, None) is not None:
            self.is_parked = True
            self.device.now_s += 0.0625


def _host(device: _Device, *engines: _Unloadable, memory_bytes: int | None = None) -> ModelHost:
    return ModelHost(dict(zip((ASR, TTS), engines, strict=False)), memory_bytes=memory_bytes, seconds=device.seconds)


def test_where_both_fit_both_stay_and_admitting_them_costs_nothing() -> None:
    device = _Device(10)
    host = _host(device, _Movable(device, "asr", 4), _Movable(device, "tts", 5))
    host.load()
    assert host.resident() == {ASR, TTS}
    assert [host.admit(one) for one in (ASR, TTS, ASR)] == [0.0] * 3
    assert [host.swap_s(one) for one in (ASR, TTS)] == [0.0] * 2
    report = host.report()
    assert (report.loads, report.swaps, report.mean_swap_s, report.device_bytes) == (2, 0, None, {ASR: 4, TTS: 5})


def test_where_one_fits_the_other_is_parked_and_swaps_are_timed() -> None:
    device = _Device(8)
    asr, tts = _Movable(device, "asr", 4), _Movable(device, "tts", 5)
    host = _host(device, asr, tts)
    host.load(first=ASR)
    assert host.resident() == {ASR}, "what is wanted first is there"
    assert host.swap_s(TTS) == 4.0, "it has never come back yet: its load time"
    assert host.admit(TTS) == 0.0625 + 0.125
    assert host.resident() == {TTS}
    assert (asr.is_parked, tts.is_parked) == (True, False)
    assert host.swap_s(ASR) == 0.0625 + 4.0
    swaps = [host.admit(one) for one in (ASR, TTS, ASR, TTS)]
    assert swaps == [0.1875] * 4
    assert (host.swap_s(ASR), host.swap_s(TTS)) == (0.1875, 0.0)
    report = host.report()
    assert (report.loads, report.swaps, report.last_swap_s, report.mean_swap_s) == (2, 5, 0.1875, 0.1875)
    assert report.device_bytes == {TTS: 5}


def test_an_engine_that_cannot_be_parked_is_unloaded_and_its_way_back_is_a_load() -> None:
    device = _Device(8)
    host = _host(device, _Movable(device, "asr", 4), _Unloadable(device, "tts", 5, load_s=2.0))
    host.load(first=ASR)
    assert host.admit(TTS) == 0.0625 + 2.0
    assert host.swap_s(ASR) == 0.5 + 4.0
    assert host.admit(ASR) == 0.5 + 0.125
    assert host.report().loads == 3
    assert host.report().device_bytes == {ASR: 4}


def test_the_memory_that_is_allowed_is_kept_though_the_device_has_more() -> None:
    device = _Device(100)
    host = _host(device, _Movable(device, "asr", 4), _Movable(device, "tts", 5), memory_bytes=8)
    host.load()
    assert host.resident() == {ASR}
    for one, other in pairwise([TTS, ASR, TTS, ASR]):
        host.admit(one)
        assert host.resident() == {one}
        assert sum(device.held.values()) <= 8
        assert host.swap_s(other) > 0


def test_one_that_exceeds_the_allowed_memory_alone_runs_alone() -> None:
    device = _Device(100)
    host = _host(device, _Movable(device, "asr", 4), _Movable(device, "tts", 9), memory_bytes=8)
    host.load(first=TTS)
    assert host.resident() == {TTS}


def test_what_was_found_not_to_fit_is_not_tried_again() -> None:
    device = _Device(8)
    tries: list[str] = []

    class Watched(_Movable):
        def load(self) -> None:
            tries.append(self.name)
            super().load()

    host = _host(device, Watched(device, "asr", 4), Watched(device, "tts", 5))
    host.load()
    assert tries == ["tts", "asr", "asr"], "the first of them comes last, to stay"
    tries.clear()
    for one in (TTS, ASR, TTS):
        host.admit(one)
    assert tries == ["tts", "asr", "tts"]


def test_one_that_finds_no_room_later_is_tried_again_alone() -> None:
    device = _Device(9)
    asr, tts = _Movable(device, "asr", 4), _Movable(device, "tts", 5)
    host = _host(device, asr, tts)
    host.load()
    assert host.make_room(ASR)
    assert host.resident() == {ASR}
    assert not host.make_room(ASR)
    tts.size_bytes = 6
    host.admit(TTS)
    assert host.resident() == {TTS}


def test_at_the_start_an_engine_that_is_missing_or_too_large_alone_is_an_error() -> None:
    device = _Device(8)
    missing = _Movable(device, "tts", 5)
    missing.is_missing = True
    with pytest.raises(EngineLoadError, match="gone"):
        _host(device, _Movable(device, "asr", 4), missing).load()
    with pytest.raises(EngineNoRoomError, match="tts"):
        _host(device, _Movable(device, "asr", 4), _Movable(device, "tts", 9)).load()


def test_one_that_cannot_come_back_leaves_the_other_able_to_work_and_is_tried_again_after_ever_longer_pauses() -> None:
    device = _Device(8)
    tts = _Unloadable(device, "tts", 5, load_s=0.0)
    host = _host(device, _Movable(device, "asr", 4), tts)
    host.load(first=ASR)
    tts.is_missing = True
    for pause_s in (5, 10, 20, 40, 80, 160, 300, 300):
        with pytest.raises(EngineLoadError, match="gone"):
            host.admit(TTS)
        assert host.usable() == {ASR}
        host.admit(ASR)
        with pytest.raises(EngineLoadError, match="a short while ago"):
            host.admit(TTS)
        assert host.resident() == {ASR}, "nothing leaves for one that is not tried"
        device.now_s += pause_s
        assert host.usable() == {ASR, TTS}
    tts.is_missing = False
    host.admit(TTS)
    assert host.report().failed_loads == 8
    tts.is_missing = True
    host.admit(ASR)
    with pytest.raises(EngineLoadError):
        host.admit(TTS)
    device.now_s += 5
    assert host.usable() == {ASR, TTS}, "the pauses begin anew"


def test_others_may_ask_while_a_load_goes_on() -> None:
    device = _Device(8)
    begun, may_end = threading.Event(), threading.Event()

    class Slow(_Movable):
        def load(self) -> None:
            begun.set()
            assert may_end.wait(10)
            super().load()

    host = _host(device, Slow(device, "asr", 4))
    loading = threading.Thread(target=host.load)
    loading.start()
    assert begun.wait(10)
    assert (host.swap_s(ASR), host.report().loads) == (3.0, 0)
    assert not host.resident()
    may_end.set()
    loading.join()
    assert host.resident() == {ASR}


def test_an_engine_that_was_never_loaded_is_guessed() -> None:
    device = _Device(8)
    host = _host(device, _Movable(device, "asr", 4))
    assert host.swap_s(ASR) == 3.0
    host.admit(ASR)
    assert host.swap_s(ASR) == 0.0


def test_unload_gives_everything_back_and_load_works_again() -> None:
    device = _Device(8)
    host = _host(device, _Movable(device, "asr", 4), _Movable(device, "tts", 5))
    for _ in range(2):
        host.load()
        host.unload()
        host.unload()
        assert not device.held
        assert not host.resident()
