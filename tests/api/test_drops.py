"""What is put under the drop prefix, as the function for S3's events serves it."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.domain.drops import dropped_file_id
from asr_queue.errors import RetryableError
from asr_queue.usecases.accept_drop import NOTE_LIFE_S, accept_drop
from asr_queue.usecases.manage_keys import revoke_key
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.messages import ItemMessage
from handlers import s3_submit
from tests.api.conftest import FILE_TTL_S, MAX_UPLOAD_BYTES, System
from tests.api.test_functions import FAULT, Context, event

FOLDER = "drop/acme/monday/"
MANIFEST = FOLDER + "m.manifest.json"
LINES = FOLDER + "m.manifest.jsonl"


@pytest.fixture
def wired(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(s3_submit, "services", lambda: system.wired)
    return system


def told(*keys: str) -> dict[str, Any]:
    """Return the event of puts, a message each, as S3 writes them."""
    sample = event("s3_submit.json")
    [first, *_] = sample["Records"]
    records = []
    for number, key in enumerate(keys):
        body = json.loads(first["body"])
        body["Records"][0]["s3"]["object"]["key"] = quote_plus(key, safe="/")
        records.append(first | {"messageId": str(number), "body": json.dumps(body)})
    return {"Records": records}


def put(system: System, key: str, data: bytes | object = b"RIFF") -> None:
    """Put an object, and serve its event."""
    store(system, key, data)
    assert s3_submit.handler(told(key), Context()) == {"batchItemFailures": []}


def store(system: System, key: str, data: bytes | object = b"RIFF") -> None:
    encoded = data if isinstance(data, bytes) else json.dumps(data).encode()
    system.store.put(key, encoded, content_type="application/octet-stream")


def note(system: System, key: str) -> dict[str, Any]:
    data = system.store.get(key)
    assert data is not None, system.store.list_keys("drop/")
    return dict(json.loads(data))


def manifest(*names: str, **fields: object) -> dict[str, object]:
    return {
        "label": "Monday",
        "items": [{"operation": "transcribe", "ref_audio": name, "custom_id": name, **fields} for name in names],
    }


def messages(system: System) -> list[ItemMessage]:
    deliveries = system.queue.receive(max_messages=10, wait_s=0)
    return [ItemMessage.parse(delivery.body) for delivery in deliveries]


def sweep(system: System) -> list[str]:
    """Sweep; return what is left under the prefix."""
    sweep_expired(
        store=system.store,
        table=system.table,
        queues=system.wired.queues,
        clock=system.clock,
        file_ttl_s=FILE_TTL_S,
    )
    return system.store.list_keys("drop/")


def crash_in_accepting(wired: System, crash: Callable[[str], Fault]) -> None:
    """Accept the manifest by a function that dies at a call of the table."""
    with pytest.raises(RetryableError):
        accept_drop(
            MANIFEST,
            store=wired.store,
            table=Faulty(wired.table, crash),
            queues=wired.wired.queues,
            clock=wired.clock,
            file_ttl_s=FILE_TTL_S,
            max_upload_bytes=MAX_UPLOAD_BYTES,
        )


class TestRecordings:
    def test_a_recording_becomes_a_batch_of_one_with_the_options_of_its_key(self, wired: System) -> None:
        key = "drop/acme/audio/German+timestamps/Frühling am See+x.flac"
        put(wired, key)
        receipt = note(wired, key + ".receipt.json")
        status = wired.api.get(receipt["status_url"]).json()
        assert (status["batch_id"], status["label"], status["total"]) == (
            receipt["batch_id"],
            "Frühling am See+x.flac",
            1,
        )
        assert status["items"][0]["custom_id"] == "Frühling am See+x.flac"
        [message] = messages(wired)
        found = wired.table.load_batch(message.batch_id)
        assert found is not None
        [item] = found[1]
        assert (item.upload_key, item.language, item.return_timestamps) == (key, "de", True)
        assert wired.store.list_keys(key) == [key, key + ".receipt.json"]

    @pytest.mark.parametrize(
        ("key", "data", "code"),
        [
            ("drop/acme/audio/Klingon/a.wav", b"RIFF", "unknown_language"),
            ("drop/acme/audio/en/a.wav", b"", "empty_upload"),
            ("drop/acme/audio/en/a.wav", b"x" * (MAX_UPLOAD_BYTES + 1), "payload_too_large"),
            ("drop/nobody/audio/en/a.wav", b"RIFF", "unknown_tenant"),
        ],
    )
    def test_one_that_cannot_be_accepted_leaves_an_error_beside_it(
        self, wired: System, key: str, data: bytes, code: str
    ) -> None:
        put(wired, key, data)
        problem = note(wired, key + ".error.json")
        assert problem["code"] == code
        assert {"type", "title", "status", "detail"} <= problem.keys()
        assert problem["dropped"]["key"] == key
        assert messages(wired) == []

    def test_a_tenant_whose_keys_are_all_revoked_is_refused(self, wired: System) -> None:
        for key in wired.table.list_keys():
            revoke_key(key.key_hash, table=wired.table, clock=wired.clock)
        put(wired, "drop/acme/audio/en/a.wav")
        assert note(wired, "drop/acme/audio/en/a.wav.error.json")["code"] == "unknown_tenant"


class TestManifests:
    def test_what_it_lists_becomes_one_batch_in_its_order(self, wired: System) -> None:
        for name in ("b.wav", "deep/a b.wav"):
            put(wired, FOLDER + name)
        uploaded = wired.upload()
        put(wired, MANIFEST, manifest("deep/a b.wav", uploaded, "b.wav", language="en"))
        receipt = note(wired, MANIFEST + ".receipt.json")
        assert (receipt["total_items"], receipt["schema_version"]) == (3, 1)
        status = wired.api.get(f"/api/v1/queue/status/{receipt['batch_id']}").json()
        assert status["label"] == "Monday"
        assert [item["custom_id"] for item in status["items"]] == ["deep/a b.wav", uploaded, "b.wav"]
        assert [item["item_id"] for item in status["items"]] == receipt["item_ids"]
        assert wired.stranger.get(receipt["status_url"]).status_code == 404
        assert len(messages(wired)) == 3

    def test_lines_are_items_and_the_name_is_the_label(self, wired: System) -> None:
        store(wired, FOLDER + "a.wav")
        lines = b'\xef\xbb\xbf{"operation": "transcribe", "ref_audio": "a.wav"}\r\n\n' * 1
        put(wired, LINES, lines + b'{"operation": "transcribe", "ref_audio": "a.wav", "later": 1}')
        receipt = note(wired, LINES + ".receipt.json")
        status = wired.api.get(receipt["status_url"]).json()
        assert (status["label"], status["total"]) == ("m", 2)

    def test_events_of_recordings_may_come_after_that_of_their_manifest(self, wired: System) -> None:
        store(wired, FOLDER + "a.wav")
        store(wired, MANIFEST, manifest("a.wav"))
        s3_submit.handler(told(MANIFEST, FOLDER + "a.wav", MANIFEST), Context())
        assert note(wired, MANIFEST + ".receipt.json")["total_items"] == 1
        assert len(messages(wired)) == 1

    @pytest.mark.parametrize(
        ("body", "code", "words"),
        [
            (b"{", "malformed_json", "not JSON"),
            (b"\xff\xfe", "malformed_json", "not JSON"),
            (b"", "malformed_json", "not JSON"),
            ({"items": []}, "invalid_request", "items"),
            ({"items": [{"operation": "transcribe"}]}, "invalid_request", "items[0].ref_audio"),
            (manifest("../../other/a.wav"), "invalid_request", "items[0].ref_audio"),
            (manifest("a.wav", "gone.wav"), "dropped_object_missing", "items[1].ref_audio"),
            (manifest("a.wav", "empty.wav"), "empty_upload", "items[1].ref_audio"),
            (manifest("a.wav", language="Klingon"), "unknown_language", "items[0].language"),
            (manifest("00000000-0000-0000-0000-000000000000"), "file_not_found", "items[0].ref_audio"),
            (manifest(*["a.wav"] * 1001), "invalid_request", "1000"),
        ],
    )
    def test_a_bad_one_leaves_an_error_that_says_what_to_mend(
        self, wired: System, body: object, code: str, words: str
    ) -> None:
        store(wired, FOLDER + "a.wav")
        store(wired, FOLDER + "empty.wav", b"")
        put(wired, MANIFEST, body)
        problem = note(wired, MANIFEST + ".error.json")
        assert problem["code"] == code
        assert words in problem["detail"]
        assert messages(wired) == []

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (b"", "1 to 1000 lines"),
            (b"{}\n" * 1001, "1 to 1000 lines"),
            (b'{"operation": "transcribe", "ref_audio": "a.wav"}\n{"operation"', "items[1] is not JSON"),
            (b'{"operation": "transcribe", "ref_audio": "a.wav"}\n{"operation": 1}', "items[1].operation"),
        ],
    )
    def test_a_bad_line_is_named(self, wired: System, lines: bytes, words: str) -> None:
        store(wired, FOLDER + "a.wav")
        put(wired, LINES, lines)
        assert words in note(wired, LINES + ".error.json")["detail"]

    def test_another_tenants_file_is_not_found(self, wired: System) -> None:
        theirs = wired.stranger.post("/api/v1/files/upload", files={"file": b"RIFF"}).json()["file_id"]
        put(wired, MANIFEST, manifest(theirs))
        assert note(wired, MANIFEST + ".error.json")["code"] == "file_not_found"

    def test_one_that_is_mended_and_put_again_loses_its_error(self, wired: System) -> None:
        put(wired, MANIFEST, manifest("a.wav"))
        assert note(wired, MANIFEST + ".error.json")["code"] == "dropped_object_missing"
        put(wired, FOLDER + "a.wav")
        put(wired, MANIFEST, manifest("a.wav"))
        assert note(wired, MANIFEST + ".receipt.json")["total_items"] == 1
        assert wired.store.head(MANIFEST + ".error.json") is None


class TestRepetition:
    def test_one_event_delivered_three_times_makes_one_batch(self, wired: System) -> None:
        store(wired, FOLDER + "a.wav")
        store(wired, MANIFEST, manifest("a.wav"))
        s3_submit.handler(told(MANIFEST, MANIFEST), Context())
        receipt = note(wired, MANIFEST + ".receipt.json")
        s3_submit.handler(told(MANIFEST), Context())
        assert note(wired, MANIFEST + ".receipt.json") == receipt
        assert len(messages(wired)) == 1

    def test_a_lost_reply_at_any_step_costs_a_repetition_and_makes_no_second_batch(self, wired: System) -> None:
        store(wired, FOLDER + "a.wav")
        store(wired, MANIFEST, manifest("a.wav"))
        steps = 0
        while True:
            countdown = [steps]

            def script(_: str, countdown: list[int] = countdown) -> Fault:
                countdown[0] -= 1
                return Fault.AFTER if countdown[0] == -1 else Fault.NONE

            try:
                accept_drop(
                    MANIFEST,
                    store=Faulty(wired.store, script),
                    table=Faulty(wired.table, script),
                    queues=wired.wired.queues,
                    clock=wired.clock,
                    file_ttl_s=FILE_TTL_S,
                    max_upload_bytes=MAX_UPLOAD_BYTES,
                )
            except RetryableError:
                wired.clock.advance(61)  # a claim that was left behind may be taken over
                steps += 1
                continue
            if countdown[0] >= 0:
                break
            steps += 1
        assert steps > 8, "every call of the way was lost once"
        receipt = note(wired, MANIFEST + ".receipt.json")
        sweep(wired)  # what was created before its reply was lost has its messages sent here
        assert {message.batch_id for message in messages(wired)} == {receipt["batch_id"]}

    def test_an_event_that_comes_when_everything_has_expired_changes_nothing(self, wired: System) -> None:
        put(wired, FOLDER + "a.wav")
        put(wired, MANIFEST, manifest("a.wav"))
        receipt = note(wired, MANIFEST + ".receipt.json")
        wired.store.delete([FOLDER + "a.wav"])
        s3_submit.handler(told(MANIFEST, FOLDER + "a.wav"), Context())
        assert note(wired, MANIFEST + ".receipt.json") == receipt
        wired.store.delete([MANIFEST])
        s3_submit.handler(told(MANIFEST), Context())
        assert wired.store.list_keys("drop/") == [MANIFEST + ".receipt.json"]

    def test_a_batch_whose_receipt_was_never_written_gets_it_when_all_else_has_gone(self, wired: System) -> None:
        put(wired, FOLDER + "a.wav")
        store(wired, MANIFEST, manifest("a.wav"))

        def crash(name: str) -> Fault:
            return Fault.AFTER if name == "create_batch" else Fault.NONE

        crash_in_accepting(wired, crash)
        wired.clock.advance(FILE_TTL_S)
        [batch] = wired.table.due_batches(now=wired.clock.now(), limit=10)
        item = wired.table.claim_item(batch.batch_id, 0, now=wired.clock.now())
        assert item is not None
        wired.table.finish_items([(item.failed(FAULT, now=wired.clock.now()), None)])
        wired.store.delete([FOLDER + "a.wav"])
        assert s3_submit.handler(told(MANIFEST), Context()) == {"batchItemFailures": []}
        assert note(wired, MANIFEST + ".receipt.json")["batch_id"] == batch.batch_id
        assert wired.store.head(MANIFEST + ".error.json") is None

    def test_a_second_put_is_a_second_submit(self, wired: System) -> None:
        put(wired, FOLDER + "a.wav")
        put(wired, MANIFEST, manifest("a.wav"))
        first = note(wired, MANIFEST + ".receipt.json")["batch_id"]
        wired.clock.advance(1)
        put(wired, MANIFEST, manifest("a.wav"))
        assert note(wired, MANIFEST + ".receipt.json")["batch_id"] != first

    def test_another_execution_that_is_at_work_makes_the_event_come_again(self, wired: System) -> None:
        store(wired, FOLDER + "a.wav")
        store(wired, MANIFEST, manifest("a.wav"))

        def crash(name: str) -> Fault:
            return Fault.BEFORE if name in ("create_batch", "release_idempotency") else Fault.NONE

        crash_in_accepting(wired, crash)
        assert s3_submit.handler(told(MANIFEST), Context())["batchItemFailures"] == [{"itemIdentifier": "0"}]
        assert wired.store.head(MANIFEST + ".error.json") is None
        wired.clock.advance(61)
        assert s3_submit.handler(told(MANIFEST), Context()) == {"batchItemFailures": []}
        assert note(wired, MANIFEST + ".receipt.json")["total_items"] == 1


class TestExpiry:
    def test_what_is_dropped_goes_as_uploads_do_and_notes_a_day_later(self, wired: System) -> None:
        put(wired, FOLDER + "nobody wants it.wav")
        put(wired, MANIFEST, manifest("gone.wav"))
        wired.clock.advance(FILE_TTL_S - 1)
        assert len(sweep(wired)) == 3
        wired.clock.advance(15)
        assert sweep(wired) == [MANIFEST + ".error.json"]
        wired.clock.advance(NOTE_LIFE_S)
        assert sweep(wired) == []

    def test_a_recording_stays_while_its_item_is_unfinished(self, wired: System) -> None:
        put(wired, FOLDER + "a.wav")
        put(wired, MANIFEST, manifest("a.wav"))
        wired.clock.advance(3 * FILE_TTL_S)
        assert FOLDER + "a.wav" in sweep(wired)

    def test_a_manifest_that_comes_too_late_for_its_recordings_is_refused(self, wired: System) -> None:
        put(wired, FOLDER + "a.wav")
        wired.clock.advance(FILE_TTL_S)
        put(wired, MANIFEST, manifest("a.wav"))
        assert note(wired, MANIFEST + ".error.json")["code"] == "file_expired"


class TestEvents:
    def test_the_sample_is_served(self, wired: System) -> None:
        store(wired, "drop/acme/audio/German+timestamps/Frühling am See.flac")
        assert s3_submit.handler(event("s3_submit.json"), Context()) == {"batchItemFailures": []}
        assert len(messages(wired)) == 1

    def test_notes_of_the_system_start_nothing(self, wired: System) -> None:
        put(wired, MANIFEST, b"{")
        before = {key: wired.store.head(key) for key in wired.store.list_keys("")}
        wired.clock.advance(5)
        s3_submit.handler(told(*before), Context())
        keys = wired.store.list_keys("")
        assert keys == [MANIFEST, MANIFEST + ".error.json"]

    @pytest.mark.parametrize("body", ["nothing of S3's", "[]", '{"Records": [{}]}', '{"Records": 1}'])
    def test_a_message_that_is_none_of_s3s_is_logged_and_goes(
        self, wired: System, body: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        sample = told("x")
        sample["Records"][0]["body"] = body
        assert s3_submit.handler(sample, Context()) == {"batchItemFailures": []}
        assert "poison_message" in caplog.messages

    def test_one_that_fails_comes_again_and_costs_the_others_nothing(
        self, wired: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad, good = "drop/acme/audio/en/bad.wav", "drop/acme/audio/en/good.wav"
        for key in (bad, good):
            store(wired, key)
        head = wired.store.head

        def sometimes(key: str) -> object:
            if key == bad:
                raise RetryableError("s3_unavailable", "s3 answered 503")
            return head(key)

        monkeypatch.setattr(wired.store, "head", sometimes)
        answer = s3_submit.handler(told(bad, good), Context())
        assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}]}
        assert note(wired, good + ".receipt.json")["total_items"] == 1


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
def test_a_dropped_file_is_not_reachable_by_its_id_alone_for_that_can_be_guessed(wired: System) -> None:
    put(wired, FOLDER + "a.wav")
    file_id = dropped_file_id(FOLDER + "a.wav")
    assert wired.api.get(f"/api/v1/files/{file_id}").status_code == 200
    assert wired.anonymous.get(f"/api/v1/files/{file_id}").status_code == 404
    items = [{"operation": "transcribe", "ref_audio": file_id}]
    assert wired.anonymous.post("/api/v1/queue/submit", json={"items": items}).status_code == 404
