import logging
import os
import threading
import time

import numpy as np
import pytest

from asr_queue.domain.items import ItemStatus, Operation
from asr_queue.errors import EngineOutOfMemoryError
from gpu_worker.pipeline.flow import Flow
from tests.pipeline.makers import RATE_HZ, encoded, tone, wav
from tests.pipeline.rig import RecordingEngine, Rig, until


def states(items) -> list[str]:
    return [item.error.code if item.error else item.status.value for item in items]


def test_items_of_several_batches_ride_in_one_pass():
    rig = Rig()
    batches = [rig.submit(*[wav(2.0)] * 4) for _ in range(4)]
    with rig.worker():
        for batch in batches:
            assert states(rig.finished(batch)) == ["done"] * 4
    assert max(len(each) for each in rig.engine.passes) > 4
    assert sum(len(each) for each in rig.engine.passes) == 16


class LongPasses(RecordingEngine):
    """Each pass lasts until as much waits as the next one takes."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.flow: Flow | None = None
        self.left = items

    def run(self, micro_batch):
        self.left -= len(micro_batch)
        until(
            lambda: self.flow is not None and len(self.flow._batcher._turns[Operation.TRANSCRIBE]) >= min(16, self.left)
        )
        return super().run(micro_batch)


def test_with_much_waiting_every_pass_is_full():
    engine = LongPasses(100)
    rig = Rig(engine)
    batch = rig.submit(*[wav(2.0)] * 100)
    with rig.worker() as engine.flow:
        rig.finished(batch)
    sizes = [len(each) for each in engine.passes]
    assert sizes[1:-1] == [16] * len(sizes[1:-1])


def test_a_transcript_has_the_shape_of_the_contract():
    rig = Rig()
    with_words = rig.submit(wav(2.0), return_timestamps=True, language="german")
    without = rig.submit(wav(2.0))
    with rig.worker():
        (first,), (second,) = rig.finished(with_words), rig.finished(without)
    transcript = rig.transcript(first)
    assert (transcript["text"], transcript["language"]) == ("echo of 2.00 s", "German")
    assert [word["text"] for word in transcript["timestamps"]] == ["echo", "of", "2.00", "s"]
    assert set(rig.transcript(second)) == {"text", "language", "language_probability", "duration"}
    assert (transcript["duration"], transcript["language_probability"]) == (2.0, None)
    assert rig.transcript(second)["language_probability"] == 1.0
    assert [word["confidence"] for word in transcript["timestamps"]] == [1.0] * 4
    assert first.audio_s == 2.0


def test_bad_files_cost_nobody_else_anything():
    rig = Rig()
    recordings = [wav(2.0)] * 16
    recordings[3] = b"Somebody called this text speech.wav.\n" * 100
    recordings[7] = wav(0.05)
    recordings[9] = wav(1.0)[:44]
    batch = rig.submit(*recordings)
    with rig.worker():
        items = rig.finished(batch)
    expected = ["done"] * 16
    expected[3], expected[7], expected[9] = "audio_format_unknown", "audio_too_short", "audio_corrupt"
    assert states(items) == expected
    assert "0.05 s" in items[7].error.message


def test_an_upload_that_is_gone_ends_its_item():
    rig = Rig()
    batch = rig.submit(wav(2.0), wav(2.0))
    rig.store.delete([rig.items(batch)[0].upload_key])
    with rig.worker():
        assert states(rig.finished(batch)) == ["audio_missing", "done"]


def test_silence_is_done_with_an_empty_text():
    rig = Rig()
    batch = rig.submit(encoded(np.zeros(RATE_HZ, np.float32), RATE_HZ, "WAV", "PCM_16"), return_timestamps=True)
    with rig.worker():
        (item,) = rig.finished(batch)
    assert rig.transcript(item) == {
        "text": "",
        "language": None,
        "language_probability": None,
        "duration": 1.0,
        "timestamps": [],
        "no_speech": True,
    }


def test_a_long_recording_is_cut_joined_and_does_not_hold_up_a_short_one():
    rig = Rig(RecordingEngine(pass_s=0.05))
    long = rig.submit(encoded(tone(600.0), RATE_HZ, "FLAC"), return_timestamps=True)
    with rig.worker():
        until(lambda: len(rig.engine.passes) == 1)
        short = rig.submit(wav(1.0))
        (short_item,) = rig.finished(short)
        (item,) = rig.finished(long)
    transcript = rig.transcript(item)
    times_s = [time_s for word in transcript["timestamps"] for time_s in (word["start"], word["end"])]
    assert item.audio_s == 600.0
    assert times_s == sorted(times_s)
    assert 570 < times_s[-1] <= 600
    assert transcript["text"].count("echo of") == sum(len(each) for each in rig.engine.passes) - 1
    assert transcript["text"] == " ".join(word["text"] for word in transcript["timestamps"])
    assert short_item.status is ItemStatus.DONE


def test_a_chunk_that_fails_ends_its_long_item_once_and_the_others_are_done():
    class RefusingEngine(RecordingEngine):
        def run(self, micro_batch):
            if any(one.samples.size < RATE_HZ * 1.5 for one in micro_batch):
                raise EngineOutOfMemoryError("too much")
            return super().run(micro_batch)

    rig = Rig(RefusingEngine())
    batch = rig.submit(encoded(tone(31.0), RATE_HZ, "WAV", "PCM_16"), wav(2.0))
    with rig.worker():
        assert states(rig.finished(batch)) == ["engine_out_of_memory", "done"]


def test_an_engine_out_of_memory_gets_smaller_passes_and_every_item_is_done():
    class SmallEngine(RecordingEngine):
        def run(self, micro_batch):
            if len(micro_batch) > 3:
                raise EngineOutOfMemoryError("too much")
            return super().run(micro_batch)

    rig = Rig(SmallEngine())
    batch = rig.submit(*[wav(2.0)] * 16)
    with rig.worker():
        assert states(rig.finished(batch)) == ["done"] * 16


def test_an_engine_bug_makes_one_item_come_again_alone_until_it_is_given_up():
    class BuggyEngine(RecordingEngine):
        def run(self, micro_batch):
            outcomes = super().run(micro_batch)
            if any(one.samples.size == 3 * RATE_HZ for one in micro_batch):
                raise ZeroDivisionError
            return outcomes

    rig = Rig(BuggyEngine())
    batch = rig.submit(wav(2.0), wav(3.0), wav(2.0))
    with rig.worker():
        until(lambda: [item.status.is_final for item in rig.items(batch)] == [True, False, True])
        passes_before = len(rig.engine.passes)
        for _ in range(12):
            rig.let_hidden_messages_come_again()
            time.sleep(0.1)
        until(lambda: len(rig.queue.dead_letters) == 1)
    assert rig.messages == 0
    assert set(map(tuple, rig.engine.passes[passes_before:])) == {(3.0,)}
    assert rig.items(batch)[1].attempt == 10


def test_a_redelivered_item_rides_alone():
    rig = Rig()
    batch = rig.submit(*[wav(2.0)] * 3)
    rig.queue.receive(max_messages=1, wait_s=0)
    rig.let_hidden_messages_come_again()
    with rig.worker():
        rig.finished(batch)
    assert sorted(len(each) for each in rig.engine.passes) == [1, 2]


def test_nothing_is_acknowledged_before_it_is_saved():
    rig = Rig()
    batch = rig.submit(wav(2.0), wav(2.0))
    rig.table.finishes.is_away = True
    with rig.worker():
        until(lambda: rig.table.finishes.refused >= 2)
        assert rig.messages == 2
        rig.table.finishes.is_away = False
        assert states(rig.finished(batch)) == ["done"] * 2


@pytest.mark.parametrize("service", ["table.finishes", "store.writes"])
def test_what_cannot_be_saved_at_all_is_given_back_and_done_later(service):
    rig = Rig()
    batch = rig.submit(wav(2.0))
    part, name = service.split(".")
    switch = getattr(getattr(rig, part), name)
    switch.is_away = True
    with rig.worker() as flow:
        until(lambda: switch.refused >= 1)
        flow.stop()
    assert rig.messages == 1
    switch.is_away = False
    rig.let_hidden_messages_come_again()
    with rig.worker():
        assert states(rig.finished(batch)) == ["done"]


@pytest.mark.parametrize("service", ["table.claims", "store.reads"])
def test_an_item_that_cannot_be_started_comes_again(service):
    rig = Rig()
    batch = rig.submit(wav(2.0))
    part, name = service.split(".")
    switch = getattr(getattr(rig, part), name)
    switch.is_away = True
    with rig.worker():
        until(lambda: switch.refused >= 1)
        switch.is_away = False
        until(lambda: rig.let_hidden_messages_come_again() or rig.messages == 0)
        assert states(rig.finished(batch)) == ["done"]


def test_a_duplicate_message_changes_nothing_and_is_acknowledged():
    rig = Rig()
    batch = rig.submit(wav(2.0), wav(3.0))
    delivery = rig.queue.receive(max_messages=1, wait_s=0)[0]
    rig.queue.send_bodies([delivery.body] * 3)
    rig.let_hidden_messages_come_again()
    with rig.worker():
        items = rig.finished(batch)
    assert states(items) == ["done", "done"]
    assert len(rig.store.list_keys("results/")) == 2


def test_a_lease_that_is_lost_while_the_engine_works_does_no_harm(caplog):
    rig = Rig(RecordingEngine())
    rig.engine.may_go_on.clear()
    batch = rig.submit(wav(2.0))
    with caplog.at_level(logging.WARNING), rig.worker():
        rig.engine.began.acquire(timeout=60)
        rig.let_hidden_messages_come_again()
        until(lambda: "lease_lost" in caplog.text)
        rig.engine.may_go_on.set()
        assert states(rig.finished(batch)) == ["done"]
    assert len(rig.store.list_keys("results/")) == 1


def test_a_long_pass_keeps_its_leases():
    rig = Rig(RecordingEngine())
    rig.engine.may_go_on.clear()
    batch = rig.submit(wav(2.0))
    with rig.worker():
        rig.engine.began.acquire(timeout=60)
        for _ in range(10):
            rig.clock.advance(2)
            time.sleep(0.25)
        rig.engine.may_go_on.set()
        (item,) = rig.finished(batch)
    assert item.attempt == 1


def test_a_message_that_names_nothing_is_left_for_the_dead_letter_queue():
    rig = Rig()
    rig.queue.send_bodies(["no item at all"])
    batch = rig.submit(wav(2.0))
    with rig.worker():
        until(lambda: rig.items(batch)[0].status.is_final)
        for _ in range(12):
            rig.let_hidden_messages_come_again()
            time.sleep(0.05)
        until(lambda: rig.queue.dead_letters == ["no item at all"])


def test_stopping_ends_the_pass_that_runs_and_hands_the_rest_back_at_once():
    rig = Rig(RecordingEngine(), micro_batch=4)
    rig.engine.may_go_on.clear()
    batch = rig.submit(*[wav(2.0)] * 30)
    flow = rig.flow()
    thread = threading.Thread(target=flow.run)
    thread.start()
    rig.engine.began.acquire(timeout=60)
    until(lambda: rig.queue.backlog().in_flight == 12)
    flow.stop()
    until(lambda: rig.queue.backlog().in_flight == len(rig.engine.passes[0]))
    rig.engine.may_go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    done = len(rig.engine.passes[0])
    assert states(rig.items(batch)).count("done") == done
    assert (rig.queue.backlog().visible, rig.queue.backlog().in_flight) == (30 - done, 0)
    assert len(rig.engine.passes) == 1


def test_a_worker_whose_heartbeat_dies_stops_and_gives_everything_back(caplog):
    rig = Rig(RecordingEngine(pass_s=0.2))

    def broken(receipt_handles, *, visibility_s):
        if visibility_s:
            raise ZeroDivisionError
        return type(rig.queue).extend(rig.queue, receipt_handles, visibility_s=visibility_s)

    rig.submit(*[wav(2.0)] * 30)
    rig.queue.extend = broken
    assert rig.flow().run() == 1
    assert rig.queue.backlog().in_flight == 0
    assert any(getattr(record, "stage", "") == "heartbeat" for record in caplog.records)


def test_a_worker_whose_engine_cannot_be_loaded_ends():
    class MissingEngine(RecordingEngine):
        def load(self):
            raise FileNotFoundError("no weights")

    assert Rig(MissingEngine()).flow().run() == 1


def test_the_ready_file_exists_while_work_is_taken_and_is_touched_again_and_again(tmp_path):
    ready = tmp_path / "ready"
    rig = Rig(ready_file=ready)
    assert not ready.exists()
    with rig.worker():
        until(ready.exists)
        os.utime(ready, (0, 0))
        until(lambda: ready.stat().st_mtime > 0)
    assert not ready.exists()


def test_what_is_logged_names_items_and_holds_no_text_audio_or_handles(caplog):
    rig = Rig()
    batch = rig.submit(wav(2.0))
    with caplog.at_level(logging.DEBUG), rig.worker():
        (item,) = rig.finished(batch)
        until(lambda: "item_published" in caplog.text)
    by_event = {record.getMessage(): record for record in caplog.records}
    assert by_event["item_published"].item_id == item.item_id
    assert by_event["micro_batch_done"].audio_s == 2.0
    assert by_event["micro_batch_done"].item_ids == [item.item_id]
    assert "echo of" not in str([vars(record) for record in caplog.records])
