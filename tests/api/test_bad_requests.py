"""Every bad request gets a 4xx with a problem document that says what was wrong, and changes nothing."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from asr_queue.errors import RetryableError
from asr_queue.usecases.manage_keys import revoke_key
from tests.api.conftest import FILE_TTL_S, MAX_UPLOAD_BYTES, System

NOBODY = "7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10"
"""An id that nothing has."""
SUBMIT = "/api/v1/queue/submit"
UPLOAD = "/api/v1/files/upload"


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert len(body["detail"]) > 10
    assert "Traceback" not in answer.text
    return body


def one_item(**fields: object) -> dict[str, object]:
    return {"items": [{"operation": "transcribe", "ref_audio": NOBODY, **fields}]}


class TestKeys:
    CALLS = (
        ("POST", UPLOAD),
        ("POST", SUBMIT),
        ("GET", f"/api/v1/queue/status/{NOBODY}"),
        ("GET", f"/api/v1/files/{NOBODY}"),
    )

    @pytest.mark.parametrize(("method", "path"), CALLS)
    @pytest.mark.parametrize("key", [None, "", "asrq_wrong", "x" * 5000])
    def test_no_key_and_a_wrong_key(self, system: System, method: str, path: str, key: str | None) -> None:
        headers = {} if key is None else {"X-API-Key": key}
        body = refused(system.anonymous.request(method, path, headers=headers), 401, "unauthorized")
        assert "key" in body["detail"]

    def test_a_revoked_key(self, system: System) -> None:
        assert system.api.get(f"/api/v1/queue/status/{NOBODY}").status_code == 404
        for key in system.table.list_keys():
            revoke_key(key.key_hash, table=system.table, clock=system.clock)
        refused(system.api.get(f"/api/v1/queue/status/{NOBODY}"), 401, "unauthorized")

    def test_health_needs_none(self, system: System) -> None:
        assert system.anonymous.get("/api/v1/health").json() == {"status": "ok"}


class TestTenants:
    def test_another_tenants_file_cannot_be_submitted(self, system: System) -> None:
        file_id = system.upload()
        body = refused(system.stranger.post(SUBMIT, json=one_item(ref_audio=file_id)), 404, "file_not_found")
        assert "items[0]" in body["detail"]
        assert system.queue.backlog().visible == 0

    def test_another_tenants_file_cannot_be_fetched(self, system: System) -> None:
        refused(system.stranger.get(f"/api/v1/files/{system.upload()}"), 404, "file_not_found")

    def test_another_tenants_batch_cannot_be_seen(self, system: System) -> None:
        batch_id = system.submit(system.upload())["batch_id"]
        refused(system.stranger.get(f"/api/v1/queue/status/{batch_id}"), 404, "batch_not_found")


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
class TestKeyScopeUpload:
    def test_ids_are_the_right_to_use_what_they_name(self, system: System) -> None:
        file_id = system.upload()
        submitted = system.anonymous.post(SUBMIT, json=one_item(ref_audio=file_id))
        assert submitted.status_code == 200, submitted.text
        status = system.anonymous.get(f"/api/v1/queue/status/{submitted.json()['batch_id']}")
        assert status.status_code == 200
        assert status.json()["items"][0]["ref_audio"] is None, "a batch's id is no right to its recordings"
        assert system.anonymous.get(f"/api/v1/files/{file_id}").status_code == 200

    def test_uploads_need_a_key_all_the_same(self, system: System) -> None:
        refused(system.anonymous.post(UPLOAD, files={"file": b"x"}), 401, "unauthorized")

    def test_a_key_that_is_sent_counts(self, system: System) -> None:
        refused(system.stranger.get(f"/api/v1/files/{system.upload()}"), 404, "file_not_found")
        refused(system.anonymous.get("/api/v1/files/x", headers={"X-API-Key": "wrong"}), 401, "unauthorized")

    def test_an_unknown_file_is_not_found(self, system: System) -> None:
        refused(system.anonymous.post(SUBMIT, json=one_item()), 404, "file_not_found")


class TestUploads:
    def test_nothing_in_the_file(self, system: System) -> None:
        body = refused(system.api.post(UPLOAD, files={"file": ("talk.wav", b"")}), 422, "empty_upload")
        assert "talk.wav" in body["detail"]
        assert "0 bytes" in body["detail"]

    @pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.wav", "..\\\\x.wav", "..", "x" * 300])
    def test_a_path_as_a_file_name(self, system: System, name: str) -> None:
        refused(system.api.post(UPLOAD, files={"file": (name, b"RIFF")}), 422, "invalid_file_name")
        assert system.store.list_keys("") == []

    @pytest.mark.parametrize("name", ["talk.wav", "Gespräch 1 (final).mp3", "録音.flac", ".hidden", "no-extension"])
    def test_any_other_name_is_data(self, system: System, name: str) -> None:
        answer = system.api.post(UPLOAD, files={"file": (name, b"RIFF")})
        file = system.table.get_file(answer.json()["file_id"])
        assert file is not None
        assert file.file_name == name
        assert name not in file.object_key

    def test_no_file_at_all(self, system: System) -> None:
        body = refused(system.api.post(UPLOAD, files={"audio": b"RIFF"}), 422, "invalid_request")
        assert "file" in body["detail"]

    def test_a_text_field_where_the_file_should_be(self, system: System) -> None:
        refused(system.api.post(UPLOAD, data={"file": "RIFF"}), 422, "invalid_request")

    def test_a_body_that_is_no_form(self, system: System) -> None:
        refused(system.api.post(UPLOAD, content=b"RIFF"), 422, "invalid_request")

    def test_a_broken_form(self, system: System) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = system.api.post(UPLOAD, content=b"--y\r\nnonsense", headers=headers)
        refused(answer, 400, "malformed_request")

    def test_too_many_bytes(self, system: System) -> None:
        data = b"x" * (MAX_UPLOAD_BYTES + 1)
        refused(system.api.post(UPLOAD, files={"file": ("talk.wav", data)}), 413, "payload_too_large")
        assert system.store.list_keys("") == []

    def test_too_many_bytes_of_which_the_header_says_nothing(self, system: System) -> None:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="talk.wav"\r\n\r\n'
        chunks = iter([head, *[b"x" * 100_000] * 11, b"\r\n--x--\r\n"])
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused(system.api.post(UPLOAD, content=chunks, headers=headers), 413, "payload_too_large")


class TestSubmits:
    def test_an_unknown_file(self, system: System) -> None:
        known = system.upload()
        items = [{"operation": "transcribe", "ref_audio": ref_audio} for ref_audio in (known, NOBODY)]
        body = refused(system.api.post(SUBMIT, json={"items": items}), 404, "file_not_found")
        assert "items[1]" in body["detail"]
        assert items[1]["ref_audio"] in body["detail"]

    def test_an_expired_file(self, system: System) -> None:
        file_id = system.upload()
        system.clock.advance(FILE_TTL_S)
        body = refused(system.api.post(SUBMIT, json=one_item(ref_audio=file_id)), 410, "file_expired")
        assert file_id in body["detail"]

    def test_an_unknown_operation(self, system: System) -> None:
        body = refused(system.api.post(SUBMIT, json=one_item(operation="translate")), 422, "unknown_operation")
        assert "'translate'" in body["detail"]
        assert "transcribe" in body["detail"]

    def test_an_operation_without_an_engine(self, system: System) -> None:
        answer = system.api.post(SUBMIT, json=one_item(operation="voice_clone", text="Hello."))
        refused(answer, 422, "operation_unavailable")

    @pytest.mark.parametrize("language", ["Klingon", "xx", "", "english please"])
    def test_an_unknown_language(self, system: System, language: str) -> None:
        body = refused(system.api.post(SUBMIT, json=one_item(language=language)), 422, "unknown_language")
        assert "items[0].language" in body["detail"]

    @pytest.mark.parametrize("count", [0, 1001])
    def test_too_few_and_too_many_items(self, system: System, count: int) -> None:
        items = [{"operation": "transcribe", "ref_audio": "x"}] * count
        body = refused(system.api.post(SUBMIT, json={"items": items}), 422, "invalid_request")
        assert "items" in body["detail"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "body"),
            ("text", "body"),
            ({}, "items"),
            ({"items": "x"}, "items"),
            ({"items": {"0": {}}}, "items"),
            ({"items": [None]}, "items[0]"),
            ({"items": [{"operation": "transcribe"}]}, "items[0].ref_audio"),
            ({"items": [{"ref_audio": "x"}]}, "items[0].operation"),
            (one_item(ref_audio=7), "items[0].ref_audio"),
            (one_item(return_timestamps="yes"), "items[0].return_timestamps"),
            (one_item(return_timestamps=1), "items[0].return_timestamps"),
            (one_item(custom_id=5), "items[0].custom_id"),
            (one_item(custom_id="x" * 501), "items[0].custom_id"),
            (one_item(language=["en"]), "items[0].language"),
            (one_item() | {"label": 3}, "label"),
        ],
    )
    def test_wrong_types(self, system: System, body: object, field: str) -> None:
        assert f"{field}:" in refused(system.api.post(SUBMIT, json=body), 422, "invalid_request")["detail"]

    @pytest.mark.parametrize("body", [b"", b"{", b'{"items": [', b"\xff\xfe", b"[" * 100_000, b"items=1"])
    def test_broken_json(self, system: System, body: bytes) -> None:
        answer = system.api.post(SUBMIT, content=body, headers={"Content-Type": "application/json"})
        refused(answer, 400, "malformed_json")

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b"])
    def test_an_idempotency_key_out_of_bounds(self, system: System, key: str) -> None:
        answer = system.api.post(SUBMIT, json=one_item(), headers={"Idempotency-Key": key})
        refused(answer, 422, "invalid_request")


class TestFetches:
    @pytest.mark.parametrize(
        "name",
        [
            NOBODY,
            f"queue_transcribe_{NOBODY}.json",
            "x",
            "..%2F..%2Fetc%2Fpasswd",
            "%00",
            "x" * 3000,
            f"{NOBODY}%0A",
        ],
    )
    def test_what_is_not_there_is_not_found(self, system: System, name: str) -> None:
        answer = system.api.get(f"/api/v1/files/{name}")
        refused(answer, 404, answer.json()["code"])
        assert answer.json()["code"] in ("file_not_found", "not_found")

    def test_an_expired_file_is_gone_from_that_instant_on(self, system: System) -> None:
        file_id = system.upload()
        system.clock.advance(FILE_TTL_S - 0.001)
        assert system.api.get(f"/api/v1/files/{file_id}").status_code == 200
        system.clock.advance(0.001)
        refused(system.api.get(f"/api/v1/files/{file_id}"), 410, "file_expired")

    @pytest.mark.parametrize("batch_id", [NOBODY, "x", "META", "%2e%2e", "x" * 3000])
    def test_an_unknown_batch(self, system: System, batch_id: str) -> None:
        answer = system.api.get(f"/api/v1/queue/status/{batch_id}")
        assert answer.json()["code"] in ("batch_not_found", "not_found")
        refused(answer, 404, answer.json()["code"])

    def test_an_unknown_path_and_a_wrong_method(self, system: System) -> None:
        refused(system.api.get("/api/v1/nothing"), 404, "not_found")
        refused(system.api.delete(SUBMIT), 405, "method_not_allowed")


class TestFailures:
    def test_a_failing_service_is_named_and_may_be_asked_again(
        self, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object, **__: object) -> None:
            raise RetryableError("dynamodb_unavailable", "secret detail", retry_after_s=2.5)

        monkeypatch.setattr(system.table, "load_batch", away)
        answer = system.api.get(f"/api/v1/queue/status/{NOBODY}")
        refused(answer, 503, "dynamodb_unavailable")
        assert answer.headers["retry-after"] == "3"
        assert "secret" not in answer.text

    def test_a_bug_tells_nothing_of_itself(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object, **__: object) -> None:
            raise ValueError("secret detail")

        monkeypatch.setattr(system.table, "load_batch", broken)
        tolerant = TestClient(system.api.app, headers=system.api.headers, raise_server_exceptions=False)
        answer = tolerant.get(f"/api/v1/queue/status/{NOBODY}")
        refused(answer, 500, "internal_error")
        assert "secret" not in answer.text


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    root = Path(__file__).parents[2]
    raised = {f"{service}_{what}" for service in ("s3", "sqs", "dynamodb") for what in ("unavailable", "unreachable")}
    for folder in ("asr_queue", "handlers", "gpu_worker"):
        for module in (root / folder).rglob("*.py"):
            if "client" in module.parts:  # its errors are Python's, not the wire's
                continue
            text = module.read_text()
            raised |= set(re.findall(r"(?:Error|Refusal|super\(\).__init__)\(\s*\"([a-z]+(?:_[a-z]+)+)\"", text))
    raised |= {"unauthorized", "malformed_request", "not_found", "method_not_allowed", "payload_too_large"}
    raised |= {"still_transcribing", "cancelled"}
    documented = set(re.findall(r"^\| `([a-z0-9_]+)` \|", (root / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert raised == documented
