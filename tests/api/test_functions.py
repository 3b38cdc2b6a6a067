"""The Lambda handlers, called with the samples of `events/`."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_queue.domain.items import ItemError, ItemStatus, Operation
from asr_queue.errors import RetryableError
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.measure_backlog import learn_item_length
from asr_queue.usecases.submit_batch import FIRST_CHECK_S
from asr_queue.wire.messages import ItemMessage
from handlers import api, dead_letters, sweep
from tests.api.conftest import FILE_TTL_S, System

FAULT = ItemError("audio_undecodable", "This is no audio.")
EVENTS = Path(__file__).parents[2] / "events"


@dataclass(frozen=True)
class Context:
    """What Lambda passes beside the event, as far as powertools reads it."""

    function_name: str = "sample"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:sample"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def event(name: str) -> dict[str, Any]:
    return dict(json.loads((EVENTS / name).read_text()))


@pytest.fixture
def wired(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(sweep, "services", lambda: system.wired)
    monkeypatch.setattr(dead_letters, "services", lambda: system.wired)
    monkeypatch.setattr(sweep.time, "sleep", lambda _: None)
    return system


class TestApi:
    @pytest.fixture(autouse=True)
    def event_loop_of_the_main_thread(self) -> Iterator[None]:
        """Mangum takes it, as Lambda's process has it; another test of this process may have used it up."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        yield
        asyncio.set_event_loop(None)
        loop.close()

    def test_health_through_the_lambda_handler(self, wired: System) -> None:
        answer = api.handler(event("api_health.json"), Context())
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"]) == {"status": "ok"}

    def test_a_refusal_through_the_lambda_handler(self, wired: System) -> None:
        answer = api.handler(event("api_submit.json"), Context())
        assert answer["statusCode"] == 401
        assert answer["headers"]["content-type"] == "application/problem+json"
        assert not answer["isBase64Encoded"]
        assert json.loads(answer["body"])["code"] == "unauthorized"


class TestSweep:
    def run(self) -> None:
        sweep.handler(event("sweep.json"), Context())

    def test_expired_bytes_go_and_their_row_says_so(self, wired: System) -> None:
        file_id = wired.upload()
        wired.clock.advance(FILE_TTL_S)
        self.run()
        assert wired.store.list_keys("") != [], "a submit that began in time may still need them"
        wired.clock.advance(12)
        self.run()
        assert wired.store.list_keys("") == []
        assert wired.api.get(f"/api/v1/files/{file_id}").status_code == 410

    def test_an_upload_that_a_queued_item_needs_survives_until_the_item_is_final(self, wired: System) -> None:
        file_id = wired.upload()
        wired.submit(file_id)
        wired.clock.advance(FILE_TTL_S * 3)
        self.run()
        assert wired.api.get(f"/api/v1/files/{file_id}").status_code == 200
        [delivery, *_] = wired.queue.receive(max_messages=10, wait_s=0)
        item = claim_item(ItemMessage.parse(delivery.body), table=wired.table, clock=wired.clock)
        assert item is not None
        wired.table.finish_items([(item.failed(FAULT, now=wired.clock.now()), None)])
        assert wired.api.get(f"/api/v1/files/{file_id}").status_code == 410
        self.run()
        assert wired.store.list_keys("") == []

    def test_items_whose_messages_were_never_sent_are_sent(
        self, wired: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object, **__: object) -> list[ItemMessage]:
            raise RetryableError("sqs_unavailable", "sqs answered 503")

        with monkeypatch.context() as patched:
            patched.setattr(wired.queue, "send", away)
            submitted = wired.submit(wired.upload(), wired.upload())
        assert wired.queue.backlog().visible == 0
        wired.clock.advance(60)
        self.run()
        bodies = [ItemMessage.parse(delivery.body) for delivery in wired.queue.receive(max_messages=10, wait_s=0)]
        assert {body.item_id for body in bodies} == set(submitted["item_ids"])

    def test_lost_messages_are_sent_again_once_the_queue_is_empty(self, wired: System) -> None:
        submitted = wired.submit(wired.upload(), wired.upload())
        [kept] = wired.queue.receive(max_messages=1, wait_s=0)
        wired.clock.advance(FIRST_CHECK_S)
        self.run()
        assert wired.queue.backlog().visible == 2, "a message still waits: nothing is known to be lost"
        wired.queue.drop_all()
        wired.clock.advance(FIRST_CHECK_S)
        self.run()
        bodies = [ItemMessage.parse(delivery.body) for delivery in wired.queue.receive(max_messages=10, wait_s=0)]
        assert {body.item_id for body in bodies} == set(submitted["item_ids"])
        assert kept.receive_count == 1

    def test_what_dead_attempts_left_behind_goes_with_their_batch(self, wired: System) -> None:
        wired.submit(wired.upload())
        [delivery] = wired.queue.receive(max_messages=1, wait_s=0)
        item = claim_item(ItemMessage.parse(delivery.body), table=wired.table, clock=wired.clock)
        assert item is not None
        wired.store.put(item.attempt_key(), b"written by a worker that died", content_type="application/json")
        wired.table.finish_items([(item.failed(FAULT, now=wired.clock.now()), None)])
        for _ in range(3):
            wired.clock.advance(FILE_TTL_S)
            self.run()
        assert wired.store.list_keys("") == []
        assert wired.table.due_batches(now=wired.clock.now(), limit=10) == []

    def test_a_failing_service_fails_the_run_and_costs_nothing(
        self, wired: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object, **__: object) -> None:
            raise RetryableError("s3_unavailable", "s3 answered 503")

        wired.upload()
        wired.clock.advance(FILE_TTL_S + 15)
        with monkeypatch.context() as patched:
            patched.setattr(wired.store, "delete", away)
            with pytest.raises(RetryableError):
                self.run()
        self.run()
        assert wired.store.list_keys("") == []


class TestBacklog:
    def backlog_s(self, printed: pytest.CaptureFixture[str]) -> float:
        sweep.handler(event("sweep.json"), Context())
        lines = [json.loads(line) for line in printed.readouterr().out.splitlines() if "_aws" in line]
        told = [line for line in lines if "BacklogAudioSeconds" in line]
        assert len(told) == 2, "one a run"
        assert told[-1]["operation"] == "transcribe"
        [directive] = told[-1]["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "AsrQueue"
        assert directive["Dimensions"] == [["service", "operation"]]
        return float(told[-1]["BacklogAudioSeconds"][0])

    def test_nothing_waits_in_an_empty_queue(self, wired: System, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.backlog_s(capsys) == 0

    def test_what_a_worker_has_counts_as_long_as_it_has_it(
        self, wired: System, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wired.submit(wired.upload(), wired.upload())
        wired.queue.receive(max_messages=1, wait_s=0)
        assert self.backlog_s(capsys) == 2 * wired.wired.settings.assumed_item_s

    def test_what_waits_is_taken_to_be_as_long_as_what_was_done(
        self, wired: System, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wired.submit(wired.upload())
        [delivery] = wired.queue.receive(max_messages=1, wait_s=0)
        item = claim_item(ItemMessage.parse(delivery.body), table=wired.table, clock=wired.clock)
        assert item is not None
        wired.table.finish_items([(item.done(now=wired.clock.now(), audio_s=600.0), None)])
        wired.queue.delete([delivery.receipt_handle])
        wired.clock.advance(FIRST_CHECK_S)
        assert self.backlog_s(capsys) == 0
        wired.submit(wired.upload(), wired.upload(), wired.upload())
        assert self.backlog_s(capsys) == 3 * 600.0

    def test_two_hundred_items_of_another_length_move_the_mean_half_way(self, wired: System) -> None:
        learn_item_length(Operation.TRANSCRIBE, items=1, audio_s=10.0, table=wired.table)
        learn_item_length(Operation.TRANSCRIBE, items=200, audio_s=200 * 30.0, table=wired.table)
        assert wired.table.typical_item_s(Operation.TRANSCRIBE) == 20.0
        learn_item_length(Operation.TRANSCRIBE, items=0, audio_s=0.0, table=wired.table)
        assert wired.table.typical_item_s(Operation.TRANSCRIBE) == 20.0


class TestDeadLetters:
    def test_an_item_that_was_tried_too_often_ends_in_error(self, wired: System) -> None:
        submitted = wired.submit(wired.upload(), wired.upload())
        sample = event("dead_letter.json")
        body = json.loads(sample["Records"][0]["body"])
        body |= {"batch_id": submitted["batch_id"], "index": 1, "item_id": submitted["item_ids"][1]}
        sample["Records"][0]["body"] = json.dumps(body)
        assert dead_letters.handler(sample, Context()) == {"batchItemFailures": []}
        status = wired.api.get(f"/api/v1/queue/status/{submitted['batch_id']}").json()
        assert [item["status"] for item in status["items"]] == ["queued", "error"]
        assert status["items"][1]["error_code"] == "too_many_attempts"
        assert "submit it again" in status["items"][1]["error"]

    def test_a_dead_letter_of_nobody_is_logged_and_goes(self, wired: System, caplog: pytest.LogCaptureFixture) -> None:
        assert dead_letters.handler(event("dead_letter.json"), Context()) == {"batchItemFailures": []}
        assert "poison_message" in caplog.messages

    def test_one_that_failed_stays(self, wired: System, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: object) -> None:
            raise RetryableError("dynamodb_unavailable", "dynamodb answered 503")

        monkeypatch.setattr(wired.table, "load_batch", away)
        sample = event("dead_letter.json")
        answer = dead_letters.handler(sample, Context())
        assert answer == {"batchItemFailures": [{"itemIdentifier": sample["Records"][0]["messageId"]}]}

    def test_a_final_item_stays_as_it_is(self, wired: System) -> None:
        submitted = wired.submit(wired.upload())
        [delivery] = wired.queue.receive(max_messages=1, wait_s=0)
        item = claim_item(ItemMessage.parse(delivery.body), table=wired.table, clock=wired.clock)
        assert item is not None
        done = item.done(now=wired.clock.now(), audio_s=1.0)
        wired.table.finish_items([(done, None)])
        sample = event("dead_letter.json")
        sample["Records"] = [sample["Records"][0] | {"body": delivery.body}]
        assert dead_letters.handler(sample, Context()) == {"batchItemFailures": []}
        loaded = wired.table.load_batch(submitted["batch_id"])
        assert loaded is not None
        assert loaded[1][0].status is ItemStatus.DONE


def test_the_message_of_each_released_version_is_read() -> None:
    for sample in EVENTS.glob("item_message_v*.json"):
        message = ItemMessage.parse(sample.read_text())
        assert message.index == 7
