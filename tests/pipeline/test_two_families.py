"""One worker, two operations: `transcribe` and `voice_clone`."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asr_queue.domain.items import ItemStatus
from asr_queue.errors import EngineLoadError, EngineOutOfMemoryError
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.echo_voice import EchoVoiceEngine
from gpu_worker.work import Claimed
from tests.pipeline.makers import RATE_HZ, claimed, encoded, tone, wav
from tests.pipeline.rig import RecordingEngine, Rig, until

TEXT = "This is what is to be said. And then there is a second sentence, which is somewhat longer than the first one."


class Voice(EchoVoiceEngine):
    """The humming engine, which counts its loads, and may be told to fail."""

    def __init__(self, **echo) -> None:
        super().__init__(EngineSettings(cache_dir=None), **echo)
        self.loads = 0
        self.passes: list[list[str]] = []
        self.breaks: Callable[[list[str]], None] = lambda _: None
        self.refuses_to_load = False

    def load(self) -> None:
        if self.refuses_to_load:
            raise EngineLoadError("The weights are gone.")
        self.loads += 1
        super().load()

    def run(self, micro_batch):
        texts = [one.text for one in micro_batch]
        self.passes.append(texts)
        self.breaks(texts)
        return super().run(micro_batch)


class WeightyVoice(Voice):
    """Of two that weigh as much, a device of 100 bytes has room for one."""

    device_bytes = 60

    def park(self) -> None:
        self.unload()


class WeightySpeech(RecordingEngine):
    device_bytes = 60

    def park(self) -> None:
        self.unload()


@pytest.fixture
def voice() -> Voice:
    return Voice()


@pytest.fixture
def rig(voice) -> Rig:
    return Rig(voice_engine=voice)


def spoken(rig: Rig, item) -> soundfile.SoundFile:
    assert item.result_key is not None, item.error
    return soundfile.SoundFile(io.BytesIO(rig.store.get(item.result_key)))


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_a_text_becomes_speech_that_says_of_itself_that_it_is_synthetic(rig, form):
    batch_id = rig.submit(wav(2.0), operation="voice_clone", text=TEXT, format=form)
    with rig.worker():
        [item] = rig.finished(batch_id)
    assert item.status is ItemStatus.DONE
    assert item.result_key.endswith(f".{form}")
    with spoken(rig, item) as file:
        assert (file.samplerate, file.channels) == (24_000, 1)
        assert file.frames / file.samplerate == pytest.approx(len(TEXT) / 15, rel=0.2)
        assert f"item {item.item_id}" in file.comment
        assert np.abs(file.read()).max() > 0.1
    assert item.audio_s == pytest.approx(len(TEXT) / 15, rel=0.2)
    assert item.device_s is not None
    assert item.text == ""


def test_both_operations_are_done_by_one_worker(rig, voice):
    heard = rig.submit(*[wav(1.0)] * 20)
    said = rig.submit(*[wav(2.0)] * 20, operation="voice_clone", text=TEXT)
    with rig.worker():
        items = [*rig.finished(heard), *rig.finished(said)]
    assert {item.status for item in items} == {ItemStatus.DONE}
    assert rig.transcript(items[0])["text"] == "echo of 1.00 s"
    assert max(map(len, voice.passes)) > 1


def test_one_operation_is_left_alone_by_a_worker_without_an_engine_for_it():
    rig = Rig()
    said = rig.submit(wav(2.0), operation="voice_clone", text=TEXT)
    heard = rig.submit(wav(1.0))
    with rig.worker():
        until(lambda: all(item.status.is_final for item in rig.items(heard)))
    assert rig.items(said)[0].status is ItemStatus.QUEUED


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (b"no audio at all", "audio_format_unknown"),
        (wav(2.0)[:60], "audio_too_short"),
        (wav(0.5), "voice_too_short"),
        (encoded(np.zeros(3 * RATE_HZ, np.float32), RATE_HZ, "WAV"), "voice_silent"),
    ],
    ids=["unknown", "cut off", "short", "silent"],
)
def test_a_bad_sample_costs_its_own_item_and_no_other(rig, sample, code):
    said = rig.submit(wav(2.0), sample, wav(2.0), operation="voice_clone", text=TEXT)
    heard = rig.submit(*[wav(1.0)] * 5)
    with rig.worker():
        good, bad, good_too = rig.finished(said)
        others = rig.finished(heard)
    assert bad.error.code == code
    assert bad.text == TEXT
    assert {item.status for item in [good, good_too, *others]} == {ItemStatus.DONE}


def test_what_is_too_large_for_the_device_costs_its_own_item_and_no_other(rig, voice):
    def too_large(texts):
        if any("huge" in text for text in texts):
            raise EngineOutOfMemoryError("too much")

    voice.breaks = too_large
    huge = rig.submit(wav(2.0), operation="voice_clone", text="A huge thing.")
    said = rig.submit(*[wav(2.0)] * 3, operation="voice_clone", text=TEXT)
    heard = rig.submit(*[wav(1.0)] * 5)
    with rig.worker():
        [failed] = rig.finished(huge)
        others = [*rig.finished(said), *rig.finished(heard)]
    assert failed.error.code == "engine_out_of_memory"
    assert {item.status for item in others} == {ItemStatus.DONE}


def test_a_bug_at_one_text_makes_that_item_come_again_and_holds_nobody_up(rig, voice):
    seen = threading.Event()

    def once(texts):
        if any("odd" in text for text in texts) and len(voice.passes) < 4:
            seen.set()
            raise ZeroDivisionError

    voice.breaks = once
    odd = rig.submit(wav(2.0), operation="voice_clone", text="An odd thing.")
    heard = rig.submit(*[wav(1.0)] * 5)
    with rig.worker():
        assert {item.status for item in rig.finished_items(heard)} == {ItemStatus.DONE}
        assert seen.wait(60)
        while rig.items(odd)[0].status is not ItemStatus.DONE:
            rig.let_hidden_messages_come_again()
            threading.Event().wait(0.05)


def test_models_that_do_not_fit_together_take_turns():
    voice = WeightyVoice()
    rig = Rig(WeightySpeech(), voice_engine=voice, device_memory_bytes=100)
    heard = rig.submit(*[wav(1.0)] * 20)
    said = rig.submit(*[wav(2.0)] * 20, operation="voice_clone", text=TEXT)
    with rig.worker():
        items = [*rig.finished(heard), *rig.finished(said)]
    assert {item.status for item in items} == {ItemStatus.DONE}
    assert 1 <= voice.loads <= 4


def test_a_model_that_cannot_come_back_leaves_the_other_operation_alone():
    class Lost(WeightyVoice):
        def park(self) -> None:
            super().park()
            self.refuses_to_load = True

    rig = Rig(WeightySpeech(), voice_engine=Lost(), device_memory_bytes=100)
    with rig.worker():
        said = rig.submit(wav(2.0), operation="voice_clone", text=TEXT)
        until(lambda: rig.items(said)[0].attempt > 0)
        for _ in range(3):
            heard = rig.submit(*[wav(1.0)] * 3)
            assert {item.status for item in rig.finished_items(heard)} == {ItemStatus.DONE}
    assert not rig.items(said)[0].status.is_final


def test_a_worker_that_stops_hands_both_operations_back(voice):
    rig = Rig(voice_engine=voice)
    rig.engine.may_go_on.clear()
    heard = rig.submit(*[wav(1.0)] * 60)
    said = rig.submit(*[wav(2.0)] * 20, operation="voice_clone", text=TEXT)
    with rig.worker():
        assert rig.engine.began.acquire(timeout=60)
    backlogs = [queue.backlog() for queue in rig.queues.values()]
    assert sum(backlog.in_flight for backlog in backlogs) == 0
    unfinished = [item for batch_id in (heard, said) for item in rig.items(batch_id) if not item.status.is_final]
    assert sum(backlog.visible for backlog in backlogs) == len(unfinished) > 0


def test_what_is_said_in_a_sample_reaches_the_engine_and_makes_another_voice_of_it(rig, voice):
    class Tone:
        def decode(self, data, *, sample_rate_hz):
            del data
            return tone(2.0, rate_hz=sample_rate_hz)

    [_, speak] = rig.families
    [item] = rig.items(rig.submit(wav(2.0), operation="voice_clone", text=TEXT))
    delivery = claimed().delivery
    voices = [
        speak.prepare(Claimed(item=replace(item, said=said), delivery=delivery), store=rig.store, decoder=Tone())
        .chunks[0]
        .engine_input()
        .voice
        for said in ("", "Hello.", "Hello.")
    ]
    assert [one.said for one in voices] == ["", "Hello.", "Hello."]
    assert voices[0].digest != voices[1].digest
    assert voices[1] is voices[2]
