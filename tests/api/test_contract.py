"""The calls of the contract, when all is well."""

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import ItemError
from asr_queue.ports import Delivery
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript, TranscriptWord
from tests.api.conftest import FILE_TTL_S, System


def work(system: System, delivery: Delivery, error: ItemError | None = None) -> None:
    """Do what a worker does with one delivery."""
    item = claim_item(ItemMessage.parse(delivery.body), table=system.table, clock=system.clock)
    assert item is not None
    words = [TranscriptWord(start=0.0, end=0.5, text="Hello.")] if item.return_timestamps else None
    outcome = Outcome(item=item, audio_s=1.5, error=error)
    if error is None:
        written = write_result(
            item, Transcript(text="Hello.", language="English", timestamps=words).to_json(), store=system.store
        )
        outcome = Outcome(item=item, audio_s=1.5, result_bytes=written)
    record_outcomes([outcome], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S)
    system.queue.delete([delivery.receipt_handle])


def test_upload_submit_poll_fetch(system: System) -> None:
    file_id = system.upload()
    submitted = system.submit(file_id, file_id, return_timestamps=True, custom_id="chunk_001", text="")
    assert set(submitted) == {"batch_id", "total_items", "item_ids", "status"}
    assert submitted["total_items"] == 2
    assert submitted["status"] == "queued"

    status_path = f"/api/v1/queue/status/{submitted['batch_id']}"
    first = system.api.get(status_path).json()
    assert first["label"] == "a label"
    assert (first["status"], first["completed"], first["failed"], first["total"]) == ("queued", 0, 0, 2)
    assert [item["item_id"] for item in first["items"]] == submitted["item_ids"]
    assert all(item["custom_id"] == "chunk_001" and item["url"] is None for item in first["items"])
    assert all(item["ref_audio"] == file_id for item in first["items"])

    good, bad = system.queue.receive(max_messages=10, wait_s=0)
    work(system, good)
    assert system.api.get(status_path).json()["status"] == "processing"
    work(system, bad, ItemError("audio_undecodable", "This is no audio."))
    last = system.api.get(status_path).json()
    assert (last["status"], last["completed"], last["failed"]) == ("partial", 1, 1)
    done, failed = last["items"]
    assert failed["url"] is None
    assert (failed["error"], failed["error_code"]) == ("This is no audio.", "audio_undecodable")
    assert done["error"] is None
    assert done["url"] == f"/api/v1/files/queue_transcribe_{done['item_id']}.json"

    fetched = system.api.get(done["url"])
    assert fetched.headers["content-type"] == "application/json"
    assert fetched.json() == {
        "text": "Hello.",
        "language": "English",
        "language_probability": None,
        "timestamps": [{"start": 0.0, "end": 0.5, "text": "Hello."}],
    }


def test_without_return_timestamps_there_is_no_such_key(system: System) -> None:
    submitted = system.submit(system.upload())
    [delivery] = system.queue.receive(max_messages=1, wait_s=0)
    work(system, delivery)
    [item] = system.api.get(f"/api/v1/queue/status/{submitted['batch_id']}").json()["items"]
    plain = {"text": "Hello.", "language": "English", "language_probability": None}
    assert system.api.get(item["url"]).json() == plain


def test_an_upload_comes_back_by_its_id(system: System) -> None:
    fetched = system.api.get(f"/api/v1/files/{system.upload(b'RIFF123')}")
    assert fetched.content == b"RIFF123"
    assert fetched.headers["content-type"] == "audio/wav"


def test_an_upload_is_never_served_as_a_page(system: System) -> None:
    answer = system.api.post("/api/v1/files/upload", files={"file": ("x.html", b"<script>", "text/html")})
    fetched = system.api.get(f"/api/v1/files/{answer.json()['file_id']}")
    assert fetched.headers["content-type"] == "application/octet-stream"
    assert fetched.headers["x-content-type-options"] == "nosniff"


def test_unknown_fields_are_ignored_and_text_may_be_absent_or_null(system: System) -> None:
    file_id = system.upload()
    items = [
        {"operation": "transcribe", "ref_audio": file_id, "priority": 3},
        {"operation": "transcribe", "ref_audio": file_id, "text": None, "language": None, "custom_id": None},
    ]
    answer = system.api.post("/api/v1/queue/submit", json={"items": items, "callback": "x", "label": None})
    assert answer.status_code == 200, answer.text


def test_what_a_submit_says_is_kept_with_the_batch_and_its_items(system: System) -> None:
    upload = system.upload(b"RIFFRIFF")
    item = {"operation": "transcribe", "ref_audio": upload, "prompt": "Ljubljana"}
    body = {"items": [item], "priority": "high", "callback_url": "https://example.com/hook"}
    answer = system.api.post("/api/v1/queue/submit", json=body).json()
    found = system.table.load_batch(answer["batch_id"])
    assert found is not None
    batch, [kept] = found
    assert (batch.priority, batch.callback_url) == (Priority.HIGH, "https://example.com/hook")
    assert (kept.prompt, kept.upload_bytes, kept.upload_type) == ("Ljubljana", 8, "audio/wav")


def test_an_unknown_priority_is_refused(system: System) -> None:
    body = {"items": [{"operation": "transcribe", "ref_audio": system.upload()}], "priority": "urgent"}
    answer = system.api.post("/api/v1/queue/submit", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_body_without_a_content_type_is_json(system: System) -> None:
    file_id = system.upload()
    body = f'{{"items": [{{"operation": "transcribe", "ref_audio": "{file_id}"}}]}}'
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert system.api.post("/api/v1/queue/submit", content=body, headers=headers).status_code == 200


def test_a_thousand_items_are_accepted_and_each_gets_one_message(system: System) -> None:
    submitted = system.submit(*[system.upload()] * 1000)
    assert submitted["total_items"] == 1000
    bodies = set()
    while deliveries := system.queue.receive(max_messages=10, wait_s=0):
        bodies |= {delivery.body for delivery in deliveries}
    assert {ItemMessage.parse(body).item_id for body in bodies} == set(submitted["item_ids"])


def test_language_names_in_any_case_codes_and_auto(system: System) -> None:
    file_id = system.upload()
    given = ["auto", "AUTO", "English", "eNgLiSh", "en", "EN", "zh", "Cantonese", None]
    items = [{"operation": "transcribe", "ref_audio": file_id, "language": language} for language in given]
    answer = system.api.post("/api/v1/queue/submit", json={"items": items})
    assert answer.status_code == 200, answer.text
    loaded = system.table.load_batch(answer.json()["batch_id"])
    assert loaded is not None
    assert [item.language for item in loaded[1]] == [None, None, "en", "en", "en", "en", "zh", "yue", None]


class TestIdempotency:
    def post(self, system: System, file_id: str, key: str = "k1", **fields: object):
        body = {"items": [{"operation": "transcribe", "ref_audio": file_id}], **fields}
        return system.api.post("/api/v1/queue/submit", json=body, headers={"Idempotency-Key": key})

    def test_a_repeated_submit_gets_the_same_answer_and_no_second_batch(self, system: System) -> None:
        file_id = system.upload()
        first, second = self.post(system, file_id), self.post(system, file_id)
        assert first.status_code == second.status_code == 200
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        assert len(system.queue.receive(max_messages=10, wait_s=0)) == 1
        assert self.post(system, file_id, key="k2").json() != first.json()

    def test_another_request_with_the_same_key_is_refused(self, system: System) -> None:
        file_id = system.upload()
        self.post(system, file_id)
        refused = self.post(system, file_id, label="another")
        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_key_reused"

    def test_a_refused_submit_does_not_use_the_key_up(self, system: System) -> None:
        file_id = system.upload()
        system.clock.advance(FILE_TTL_S)
        assert self.post(system, file_id).status_code == 410
        assert self.post(system, system.upload()).status_code == 200

    def test_a_request_that_is_being_served_is_not_served_twice(self, system: System) -> None:
        file_id = system.upload()
        system.table.claim_idempotency(tenant="acme", key="k1", request_hash="x", now=system.clock.now())
        refused = self.post(system, file_id)
        assert refused.status_code == 409
        assert refused.json()["code"] == "request_in_progress"
