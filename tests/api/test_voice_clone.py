"""`voice_clone` through the API: what is accepted where, what becomes of it, and what is written down."""

import io
import json
import logging
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.client.protocol import fetch_call
from asr_queue.domain.items import Item, ItemError, Operation
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.usecases.submit_batch import FIRST_CHECK_S
from asr_queue.wire.transcript import Transcript
from handlers import sweep
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_bad_requests import SUBMIT, refused

TEXT = "Good morning, everybody."


@pytest.fixture
def voices(system: System) -> MemoryQueue:
    return MemoryQueue(system.clock)


@pytest.fixture
def speaking(system: System, voices: MemoryQueue) -> System:
    """A system with an engine that speaks."""
    settings = system.wired.settings.model_copy(
        update={"voice_engine": "tiny", "voice_clone_queue_url": "http://127.0.0.1/v"}
    )
    wired = replace(system.wired, settings=settings, queues={**system.wired.queues, Operation.VOICE_CLONE: voices})
    app.dependency_overrides[services] = lambda: wired
    return replace(system, wired=wired)


def said(system: System, **fields: object) -> dict[str, Any]:
    return {"operation": "voice_clone", "ref_audio": system.upload(), "text": TEXT, **fields}


def submit(system: System, *items: dict[str, Any]) -> str:
    answer = system.api.post(SUBMIT, json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["batch_id"])


def items_of(system: System, batch_id: str) -> list[Item]:
    found = system.table.load_batch(batch_id)
    assert found is not None
    return found[1]


def speak(system: System, batch_id: str, index: int = 0, data: bytes = b"speech") -> Item:
    """Do an item as a worker does."""
    item = system.table.claim_item(batch_id, index, now=system.clock.now())
    assert item is not None
    written = write_result(item, data, store=system.store)
    outcome = Outcome(item=item, audio_s=1.5, result_bytes=written)
    record_outcomes([outcome], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S)
    return items_of(system, batch_id)[index]


class TestSubmit:
    def test_a_system_without_an_engine_says_what_its_operator_must_set(self, system: System) -> None:
        body = refused(system.api.post(SUBMIT, json={"items": [said(system)]}), 422, "operation_unavailable")
        assert "items[0].operation" in body["detail"]
        assert "ASR_QUEUE_VOICE_ENGINE" in body["detail"]

    def test_an_item_has_its_text_and_format_and_both_operations_may_be_in_one_batch(
        self, speaking: System, voices: MemoryQueue
    ) -> None:
        heard = {"operation": "transcribe", "ref_audio": speaking.upload(), "text": "no matter", "format": "srt"}
        first, second, third = items_of(speaking, submit(speaking, said(speaking), said(speaking, format="mp3"), heard))
        assert (first.text, first.speech_format, first.operation) == (TEXT, "wav", "voice_clone")
        assert (second.text, second.speech_format) == (TEXT, "mp3")
        assert (third.text, third.speech_format, third.operation) == ("", "wav", "transcribe")
        assert (voices.backlog().visible, speaking.queue.backlog().visible) == (2, 1)

    @pytest.mark.parametrize("text", ["", None, "   ", "…!?", "\n\t—"])
    def test_a_text_that_nobody_can_say_is_refused(self, speaking: System, text: str | None) -> None:
        items = [said(speaking), said(speaking, text=text)]
        assert "items[1].text" in refused(speaking.api.post(SUBMIT, json={"items": items}), 422, "text_empty")["detail"]

    def test_the_longest_text_is_accepted_and_one_character_more_is_not(self, speaking: System) -> None:
        submit(speaking, said(speaking, text="a" * 10_000))
        answer = speaking.api.post(SUBMIT, json={"items": [said(speaking, text="a" * 10_001)]})
        detail = refused(answer, 422, "invalid_request")["detail"]
        assert "items[0].text" in detail
        assert "10000" in detail

    def test_a_format_that_nobody_makes_is_refused(self, speaking: System) -> None:
        answer = speaking.api.post(SUBMIT, json={"items": [said(speaking, format="ogg")]})
        assert "items[0].format is 'ogg'" in refused(answer, 422, "unknown_format")["detail"]

    def test_what_the_system_has_made_is_nobodys_voice(self, speaking: System) -> None:
        made = speak(speaking, submit(speaking, said(speaking)))
        answer = speaking.api.post(SUBMIT, json={"items": [said(speaking, ref_audio=made.item_id)]})
        refused(answer, 404, "file_not_found")

    def test_the_sample_is_pinned_until_its_item_has_ended(self, speaking: System) -> None:
        item = said(speaking)
        batch_id = submit(speaking, item)
        speaking.clock.advance(FILE_TTL_S)
        path = f"/api/v1/files/{item['ref_audio']}"
        assert speaking.api.get(path).status_code == 200
        speak(speaking, batch_id)
        assert speaking.api.get(path).status_code == 410


class TestRecord:
    def test_each_accepted_one_is_written_down_by_ids_and_no_word_of_it(
        self, speaking: System, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        item = said(speaking, custom_id="mine")
        batch_id = submit(speaking, item, said(speaking), {"operation": "transcribe", "ref_audio": speaking.upload()})
        [record] = [one for one in caplog.records if one.message == "voice_clone_accepted"]
        told = vars(record)
        assert (told["tenant"], told["batch_id"], told["items"]) == ("acme", batch_id, 3)
        first, second, _ = items_of(speaking, batch_id)
        assert told["samples"] == {first.item_id: item["ref_audio"], second.item_id: second.upload_id}
        assert TEXT not in str(told)

    def test_what_is_no_voice_and_what_is_answered_again_is_not(
        self, speaking: System, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        speaking.submit(speaking.upload())
        assert "voice_clone_accepted" not in caplog.messages
        body = {"items": [said(speaking)]}
        for _ in range(2):
            speaking.api.post(SUBMIT, json=body, headers={"Idempotency-Key": "once"})
        assert caplog.messages.count("voice_clone_accepted") == 1


class TestRetry:
    def test_it_has_the_same_text_and_format_and_is_written_down_too(
        self, speaking: System, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        batch_id = submit(speaking, said(speaking, format="flac"))
        item = speaking.table.claim_item(batch_id, 0, now=speaking.clock.now())
        assert item is not None
        failed = item.failed(ItemError("voice_silent", "Nothing is heard."), now=speaking.clock.now())
        speaking.table.finish_items([(failed, None)])
        answer = speaking.api.post(f"/api/v1/queue/batches/{batch_id}/retry")
        assert answer.status_code == 200, answer.text
        [again] = items_of(speaking, answer.json()["batch_id"])
        assert (again.text, again.speech_format, again.operation) == (TEXT, "flac", "voice_clone")
        assert caplog.messages.count("voice_clone_accepted") == 2


class TestFiles:
    @pytest.mark.parametrize(("made", "content_type"), [("wav", "wav"), ("flac", "flac"), ("mp3", "mpeg")])
    def test_speech_is_a_file_of_its_kind_and_comes_in_no_other(
        self, speaking: System, made: str, content_type: str
    ) -> None:
        batch_id = submit(speaking, said(speaking, format=made))
        item = speak(speaking, batch_id, data=b"speech as " + made.encode())
        url = speaking.api.get(f"/api/v1/queue/status/{batch_id}").json()["items"][0]["url"]
        assert url == f"/api/v1/files/queue_voice_clone_{item.item_id}.{made}"
        answer = speaking.api.get(url)
        assert (answer.status_code, answer.content) == (200, b"speech as " + made.encode())
        assert answer.headers["content-type"] == f"audio/{content_type}"
        refused(speaking.api.get(url, params={"format": "txt"}), 422, "not_a_transcript")
        refused(speaking.stranger.get(url), 404, "file_not_found")

    def test_speech_that_no_answer_can_carry_is_led_to(self, speaking: System) -> None:
        settings = speaking.wired.settings.model_copy(update={"inline_max_bytes": 10})
        app.dependency_overrides[services] = lambda: replace(speaking.wired, settings=settings)
        item = speak(speaking, submit(speaking, said(speaking)), data=b"x" * 11)
        answer = speaking.api.get(f"/api/v1/files/{item.result_name}", follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"]


class TestDownload:
    def test_speech_is_a_file_of_a_zip_and_an_address_of_a_line(self, speaking: System) -> None:
        heard = {"operation": "transcribe", "ref_audio": speaking.upload()}
        batch_id = submit(speaking, said(speaking, format="mp3", custom_id="greeting"), heard, said(speaking))
        first = speak(speaking, batch_id, data=b"\xff\xfbspeech")
        speak(speaking, batch_id, 1, data=Transcript(text="Hello.", language="English").to_json())
        third = speak(speaking, batch_id, 2)
        speaking.api.delete(f"/api/v1/files/{third.result_name}")
        path = f"/api/v1/queue/batches/{batch_id}/download"
        with zipfile.ZipFile(io.BytesIO(speaking.api.get(path, params={"format": "txt"}).content)) as archive:
            assert archive.namelist() == ["0001_greeting.mp3", "0002.txt", "errors.json"]
            assert archive.read("0001_greeting.mp3") == b"\xff\xfbspeech"
            assert archive.read("0002.txt") == b"Hello.\n"
        answer = speaking.api.get(path, params={"as": "jsonl"}).text
        lines = [json.loads(line) for line in answer.splitlines()]
        assert lines[0]["url"] == f"/api/v1/files/{first.result_name}"
        assert lines[0]["transcript"] is lines[0]["error"] is lines[1]["url"] is lines[2]["url"] is None
        assert lines[1]["transcript"]["text"] == "Hello."
        assert lines[2]["error_code"] == "file_expired"


class TestWaiting:
    def test_a_texts_length_is_that_of_saying_it_and_not_that_of_the_sample(self, speaking: System) -> None:
        item = said(speaking, ref_audio=speaking.upload(b"x" * 900_000), text="a" * 150)
        heard = {"operation": "transcribe", "ref_audio": speaking.upload()}
        batch_id = submit(speaking, item, heard)
        path = f"/api/v1/queue/status/{batch_id}"
        assert speaking.api.get(path).json()["audio_s"]["total"] == 10 + 60
        speak(speaking, batch_id)
        assert speaking.api.get(path).json()["audio_s"] == {"done": 1.5, "total": 61.5, "is_estimate": True}

    def test_both_operations_are_one_backlog_for_those_who_ask(self, speaking: System) -> None:
        speaking.table.keep_typical_item_s(Operation.VOICE_CLONE, 10.0)
        submit(speaking, said(speaking), said(speaking), {"operation": "transcribe", "ref_audio": speaking.upload()})
        app.dependency_overrides[services] = lambda: replace(speaking.wired)  # which has felt no pulse yet
        told = speaking.api.get("/api/v1/queue").json()
        assert sum(lane["visible"] for lane in told["backlog"]) == 3
        assert told["waiting_audio_s"] == 10.0 * 2 + 60.0


class TestSweep:
    def told_s(self, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "BacklogAudioSeconds" in line]
        return {line["operation"]: line["BacklogAudioSeconds"][0] for line in lines if "operation" in line}

    def test_what_waits_to_be_said_is_told_beside_what_waits_to_be_heard(
        self, speaking: System, capsys: pytest.CaptureFixture[str]
    ) -> None:
        batch_id = submit(speaking, said(speaking), said(speaking))
        speak(speaking, batch_id)
        speaking.clock.advance(FIRST_CHECK_S)
        sweep.run(speaking.wired)
        assert self.told_s(capsys) == {"transcribe": 0, "voice_clone": 2 * 60}
        assert speaking.table.typical_item_s(Operation.VOICE_CLONE) == 1.5
        assert speaking.table.typical_item_s(Operation.TRANSCRIBE) is None

    def test_of_what_waits_for_an_engine_that_was_taken_away_no_worker_is_asked_for(
        self, speaking: System, system: System, capsys: pytest.CaptureFixture[str]
    ) -> None:
        submit(speaking, said(speaking))
        sweep.run(replace(system.wired, queues=speaking.wired.queues))
        assert self.told_s(capsys) == {"transcribe": 0}

    def test_a_lost_message_is_sent_again_to_the_queue_of_its_operation(
        self, speaking: System, voices: MemoryQueue
    ) -> None:
        submit(speaking, said(speaking))
        [delivery] = voices.receive(max_messages=1, wait_s=0)
        voices.delete([delivery.receipt_handle])
        speaking.clock.advance(FIRST_CHECK_S)
        sweep.run(speaking.wired)
        assert (voices.backlog().visible, speaking.queue.backlog().visible) == (1, 0)

    def test_what_was_to_be_said_is_forgotten_with_its_batch(self, speaking: System) -> None:
        batch_id = submit(speaking, said(speaking))
        item = speaking.table.claim_item(batch_id, 0, now=speaking.clock.now())
        assert item is not None
        failed = item.failed(ItemError("voice_silent", "Nothing is heard."), now=speaking.clock.now())
        speaking.table.finish_items([(failed, None)])
        assert items_of(speaking, batch_id)[0].text == TEXT
        for _ in range(2):
            speaking.clock.advance(FILE_TTL_S + FIRST_CHECK_S)
            sweep.run(speaking.wired)
        assert items_of(speaking, batch_id)[0].text == ""


@pytest.mark.parametrize("made", ["wav", "flac", "mp3"])
def test_the_client_says_that_speech_is_no_transcript(made: str) -> None:
    with pytest.raises(ValueError, match="is speech"):
        fetch_call(f"/api/v1/files/queue_voice_clone_7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10.{made}")
