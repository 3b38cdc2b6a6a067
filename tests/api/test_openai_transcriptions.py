"""`POST /v1/audio/transcriptions`: the queue behind a call that waits."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import ItemError
from asr_queue.domain.quotas import Limits
from asr_queue.errors import RetryableError
from asr_queue.usecases.delete_batch import delete_batch
from asr_queue.usecases.manage_keys import create_key
from asr_queue.wire.messages import ItemMessage
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, MAX_UPLOAD_BYTES, System
from tests.api.test_contract import work

PATH = "/v1/audio/transcriptions"


def bearer(client: httpx.Client) -> dict[str, str]:
    """Return a client's key as OpenAI's clients send it."""
    return {"Authorization": f"Bearer {client.headers['X-API-Key']}"}


def transcribe(client: TestClient, data: bytes = b"RIFF", **fields: Any) -> httpx.Response:
    form = {"model": "whisper-1", **fields}
    return client.post(PATH, files={"file": ("talk.wav", data, "audio/wav")}, data=form)


def refused(answer: httpx.Response, status: int, code: str, *, param: str | None = None) -> str:
    """Check that an answer is this error in OpenAI's shape; return its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    assert error["type"] == kind
    return str(error["message"])


@contextmanager
def working(system: System, error: ItemError | None = None) -> Iterator[list[str]]:
    """Run a worker for the block; yield the ids of the batches that it got items of."""
    ended, seen = threading.Event(), []

    def run() -> None:
        while not ended.wait(0.01):
            for delivery in system.queue.receive(max_messages=10, wait_s=0):
                seen.append(ItemMessage.parse(delivery.body).batch_id)
                work(system, delivery, error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def impatient(system: System) -> System:
    """A system that waits for a twentieth of a second."""
    wired = replace(system.wired, settings=system.wired.settings.model_copy(update={"sync_wait_s": 0.05}))
    app.dependency_overrides[services] = lambda: wired
    return system


class TestAnswers:
    def test_json_has_the_text_and_how_much_was_heard(self, system: System) -> None:
        with working(system):
            answer = transcribe(system.api)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"text": "Hello.", "usage": {"type": "duration", "seconds": 2}}

    @pytest.mark.parametrize(
        ("form", "media_type", "text"),
        [
            ("text", "text/plain", "Hello.\n"),
            ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n"),
            ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello.\n"),
        ],
    )
    def test_texts_are_texts(self, system: System, form: str, media_type: str, text: str) -> None:
        with working(system):
            answer = transcribe(system.api, response_format=form)
        assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
        assert answer.text == text

    @pytest.mark.parametrize(
        ("asked", "present"),
        [
            ([], {"segments"}),
            (["segment"], {"segments"}),
            (["word"], {"words"}),
            (["word", "segment"], {"words", "segments"}),
        ],
    )
    @pytest.mark.parametrize("brackets", ["", "[]"])
    def test_verbose_json_has_what_was_asked_for(
        self, system: System, asked: list[str], present: set[str], brackets: str
    ) -> None:
        with working(system):
            fields = {f"timestamp_granularities{brackets}": asked}
            told = transcribe(system.api, response_format="verbose_json", **fields).json()
        assert {"words", "segments"} & set(told) == present
        assert (told["task"], told["language"], told["duration"], told["text"]) == (
            "transcribe",
            "english",
            1.5,
            "Hello.",
        )
        if "words" in present:
            assert told["words"] == [{"word": "Hello.", "start": 0.0, "end": 0.5}]
        if "segments" in present:
            [segment] = told["segments"]
            assert (segment["id"], segment["start"], segment["end"], segment["text"]) == (0, 0.0, 0.5, "Hello.")
            theirs = {"seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"}
            assert theirs < set(segment)

    def test_either_header_is_a_key(self, system: System) -> None:
        with working(system):
            files = {"file": ("a.wav", b"RIFF")}
            answers = [
                system.anonymous.post(PATH, files=files, data={"model": "any"}, headers=headers)
                for headers in (bearer(system.api), {"X-API-Key": system.api.headers["X-API-Key"]})
            ]
        assert [answer.status_code for answer in answers] == [200, 200]

    def test_what_was_asked_is_what_the_item_gets(self, impatient: System) -> None:
        fields = {"language": "de", "prompt": "Norland", "keywords[]": ["kubectl", "Dashwood"], "temperature": "0.2"}
        transcribe(impatient.api, response_format="srt", **fields)
        [delivery] = impatient.queue.receive(max_messages=10, wait_s=0)
        found = impatient.table.load_batch(ItemMessage.parse(delivery.body).batch_id)
        assert found is not None
        batch, [item] = found
        assert (batch.priority, batch.label) == (Priority.HIGH, PATH)
        assert (item.language, item.prompt, item.return_timestamps) == ("de", "Norland kubectl, Dashwood", True)
        assert (item.custom_id, item.upload_type) == ("talk.wav", "audio/wav")

    def test_of_a_long_prompt_the_end_counts(self, impatient: System) -> None:
        transcribe(impatient.api, prompt="x" * 5000 + "the end")
        [delivery] = impatient.queue.receive(max_messages=10, wait_s=0)
        found = impatient.table.load_batch(ItemMessage.parse(delivery.body).batch_id)
        assert found is not None
        prompt = found[1][0].prompt
        assert (len(prompt), prompt[-7:]) == (2000, "the end")


class TestWaiting:
    def test_what_takes_too_long_is_asked_for_again_and_never_submitted_twice(self, impatient: System) -> None:
        first = transcribe(impatient.api)
        assert "repeat" in refused(first, 503, "still_transcribing")
        assert first.headers["retry-after"] == "1"
        refused(transcribe(impatient.api), 503, "still_transcribing")
        assert impatient.queue.backlog().visible == 1
        with working(impatient) as seen:
            while (answer := transcribe(impatient.api)).status_code == 503:
                pass
        assert answer.json()["text"] == "Hello."
        assert len(seen) == 1

    def test_the_same_is_answered_again_while_it_lives_and_done_again_afterwards(self, system: System) -> None:
        with working(system) as seen:
            for _ in range(2):
                assert transcribe(system.api).status_code == 200
            assert len(seen) == 1
            for lives in (2, 3, 4):
                system.clock.advance(FILE_TTL_S)
                for _ in range(2):
                    assert transcribe(system.api).status_code == 200
                assert len(set(seen)) == len(seen) == lives

    def test_one_rendering_or_another_is_the_same_work(self, system: System) -> None:
        with working(system) as seen:
            for form in ("srt", "vtt", "verbose_json"):
                assert transcribe(system.api, response_format=form).status_code == 200
        assert len(seen) == 1

    @pytest.mark.parametrize(
        "other",
        [{"data": b"RIFF2"}, {"language": "de"}, {"prompt": "x"}, {"response_format": "srt"}],
        ids=lambda other: next(iter(other)),
    )
    def test_other_bytes_or_options_are_other_work(self, system: System, other: dict[str, Any]) -> None:
        with working(system) as seen:
            assert transcribe(system.api).status_code == transcribe(system.api, **other).status_code == 200
        assert len(set(seen)) == 2

    def test_another_tenants_request_is_its_own(self, system: System) -> None:
        with working(system) as seen:
            assert transcribe(system.api).status_code == transcribe(system.stranger).status_code == 200
        assert len(set(seen)) == 2

    def test_many_of_the_same_at_once_are_one_item_and_leave_one_upload(self, system: System) -> None:
        with working(system) as seen, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: transcribe(system.api), range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(seen) == 1
        assert len(system.store.list_keys("uploads/")) == 1

    def test_what_is_deleted_meanwhile_is_submitted_anew(self, impatient: System) -> None:
        transcribe(impatient.api)
        [delivery] = impatient.queue.receive(max_messages=10, wait_s=0)
        batch_id = ItemMessage.parse(delivery.body).batch_id
        wired = impatient.wired
        delete_batch(batch_id, tenant="acme", store=wired.store, table=wired.table, clock=wired.clock)
        with working(impatient) as seen:
            while (answer := transcribe(impatient.api)).status_code == 503:
                pass
        assert answer.status_code == 200
        assert batch_id not in seen

    def test_nobody_is_kept_waiting_by_those_who_wait(self, system: System) -> None:
        """More than the threads that serve requests: none of them waits."""
        with ThreadPoolExecutor(60) as pool:
            waiting = [pool.submit(transcribe, system.api, b"RIFF%d" % n) for n in range(60)]
            until_s = time.monotonic() + 60
            while system.queue.backlog().visible < 60:
                assert time.monotonic() < until_s
                time.sleep(0.01)
            assert system.api.get("/api/v1/health").status_code == 200
            with working(system):
                assert {one.result().status_code for one in waiting} == {200}


class TestFailures:
    def test_a_recording_at_fault_is_told_with_its_code_and_not_to_be_repeated(self, system: System) -> None:
        with working(system, ItemError("audio_format_unknown", "This is no audio.")) as seen:
            answer = transcribe(system.api)
            assert refused(transcribe(system.api), 422, "audio_format_unknown") == "This is no audio."
        assert answer.headers["x-should-retry"] == "false"
        assert len(seen) == 1

    @pytest.mark.parametrize(("code", "status"), [("too_many_attempts", 500), ("cancelled", 409)])
    def test_what_is_no_fault_of_the_recording_says_so(self, system: System, code: str, status: int) -> None:
        with working(system, ItemError(code, "It ended.")):
            answer = transcribe(system.api)
        refused(answer, status, code)
        assert answer.headers["x-should-retry"] == "false"

    def test_what_was_cancelled_is_done_when_it_is_asked_for_again(self, system: System) -> None:
        with working(system, ItemError("cancelled", "It was cancelled.")):
            assert transcribe(system.api).status_code == 409
        with working(system):
            assert transcribe(system.api).status_code == 200

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"model": ""}, "model"),
            ({"response_format": "diarized_json"}, "response_format"),
            ({"temperature": "hot"}, "temperature"),
            ({"temperature": "1.5"}, "temperature"),
            ({"timestamp_granularities[]": ["sentence"]}, "timestamp_granularities[0]"),
            ({"stream": "true"}, "stream"),
            ({"language": "x" * 65}, "language"),
        ],
    )
    def test_a_wrong_field_is_named(self, system: System, fields: dict[str, Any], param: str) -> None:
        message = refused(transcribe(system.api, **fields), 422, "invalid_request", param=param)
        assert message.startswith(f"{param}: ")
        assert system.store.list_keys("") == []

    def test_a_language_that_nobody_speaks_leaves_no_upload(self, system: System) -> None:
        refused(transcribe(system.api, language="Klingon"), 422, "unknown_language")
        assert system.store.list_keys("") == []

    def test_a_body_that_is_no_form_or_has_no_file(self, system: System) -> None:
        refused(system.api.post(PATH, json={"model": "whisper-1"}), 422, "invalid_request", param="file")
        refused(system.api.post(PATH, data={"model": "a"}, files={"other": b"x"}), 422, "invalid_request", param="file")
        refused(transcribe(system.api, b""), 422, "empty_upload")

    def test_every_failure_below_v1_has_openais_shape(self, system: System) -> None:
        unknown = system.anonymous.post(PATH, content=b"{")
        refused(unknown, 401, "unauthorized")
        assert unknown.headers["www-authenticate"] == "Bearer"
        wrong = system.anonymous.post(PATH, headers={"Authorization": "Bearer wrong"})
        refused(wrong, 401, "unauthorized")
        refused(system.api.get("/v1/chat/completions"), 404, "not_found")
        other_method = system.api.get(PATH)
        refused(other_method, 405, "method_not_allowed")
        assert other_method.headers["allow"] == "POST"
        refused(transcribe(system.api, b"x" * MAX_UPLOAD_BYTES), 413, "payload_too_large")
        half = system.api.post(PATH, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert half.status_code in (400, 422)
        refused(half, half.status_code, half.json()["error"]["code"], param=half.json()["error"]["param"])

    def test_the_native_paths_keep_their_own_shape(self, system: System) -> None:
        answer = system.anonymous.get("/api/v1/files/x")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "ApiKey"

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            (Limits(items_waiting=1), "too_many_items_waiting"),
            (Limits(bytes_stored=6), "too_many_bytes_stored"),
            (Limits(requests_per_s=2), "too_many_requests"),
        ],
        ids=str,
    )
    def test_quotas_hold_here_too(self, impatient: System, limits: Limits, code: str) -> None:
        key, _ = create_key(tenant="acme", name="limited", table=impatient.table, clock=impatient.clock, limits=limits)
        with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
            for data in (b"RIFF1", b"RIFF1"):
                refused(transcribe(client, data), 503, "still_transcribing")
            answer = transcribe(client, b"RIFF2")
        refused(answer, 429, code)
        assert int(answer.headers["retry-after"]) >= 1
        assert len(impatient.store.list_keys("uploads/")) == 1

    def test_a_failing_service_and_a_bug_tell_nothing_of_themselves(
        self, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(error: Exception) -> Callable[..., None]:
            def fail(*_: object, **__: object) -> None:
                raise error

            return fail

        monkeypatch.setattr(system.store, "put", failing(RetryableError("s3_unavailable", "secret", retry_after_s=2.5)))
        answer = transcribe(system.api)
        refused(answer, 503, "s3_unavailable")
        assert answer.headers["retry-after"] == "3"
        monkeypatch.setattr(system.store, "put", failing(ValueError("secret")))
        tolerant = TestClient(app, headers=bearer(system.api), raise_server_exceptions=False)
        broken = transcribe(tolerant)
        refused(broken, 500, "internal_error")
        assert "secret" not in answer.text + broken.text
