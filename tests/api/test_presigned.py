"""Uploads that go past the API, and downloads that do."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.domain.files import File, FileKind
from asr_queue.usecases import presign_upload
from asr_queue.usecases.presign_upload import PRESIGNED_LIFE_S
from handlers import s3_submit
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, MAX_UPLOAD_BYTES, System
from tests.api.test_drops import sweep, told
from tests.api.test_functions import Context

PRESIGN = "/api/v1/files/presign"


@pytest.fixture
def presigner(system: System) -> MemoryPresigner:
    assert isinstance(system.wired.presigner, MemoryPresigner)
    return system.wired.presigner


def presign(system: System, size_bytes: int = 4, content_type: str = "audio/wav") -> dict[str, Any]:
    body = {"file_name": "talk.wav", "size_bytes": size_bytes, "content_type": content_type}
    answer = system.api.post(PRESIGN, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def complete(client: TestClient, file_id: str) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"/api/v1/files/{file_id}/complete")
    return answer.status_code, answer.json()


def submit(system: System, file_id: str) -> tuple[int, dict[str, Any]]:
    items = [{"operation": "transcribe", "ref_audio": file_id}]
    answer = system.api.post("/api/v1/queue/submit", json={"items": items})
    return answer.status_code, answer.json()


class TestForm:
    def test_a_file_sent_by_a_form_is_used_as_any_other(self, system: System, presigner: MemoryPresigner) -> None:
        told_how = presign(system)
        assert set(told_how) == {"file_id", "method", "url", "fields", "expires_in_s"}
        assert (told_how["method"], told_how["expires_in_s"]) == ("POST", PRESIGNED_LIFE_S)
        assert presigner.post(told_how["url"], told_how["fields"], b"RIFF") == 204
        system.clock.advance(60)
        status, kept = complete(system.api, told_how["file_id"])
        assert status == 200
        assert (kept["file_id"], kept["size_bytes"]) == (told_how["file_id"], 4)
        assert submit(system, told_how["file_id"])[0] == 200
        assert system.api.get(f"/api/v1/files/{told_how['file_id']}").content == b"RIFF"

    def test_its_life_begins_when_it_is_complete_and_is_not_made_longer_by_repeating(
        self, system: System, presigner: MemoryPresigner
    ) -> None:
        told_how = presign(system)
        presigner.post(told_how["url"], told_how["fields"], b"RIFF")
        system.clock.advance(PRESIGNED_LIFE_S)
        first = complete(system.api, told_how["file_id"])
        system.clock.advance(10)
        assert complete(system.api, told_how["file_id"]) == first
        system.clock.advance(FILE_TTL_S - 10)
        assert system.api.get(f"/api/v1/files/{told_how['file_id']}").status_code == 410
        assert complete(system.api, told_how["file_id"])[0] == 410

    def test_until_it_is_complete_nothing_can_be_done_with_it(self, system: System, presigner: MemoryPresigner) -> None:
        told_how = presign(system)
        status, problem = complete(system.api, told_how["file_id"])
        assert (status, problem["code"]) == (409, "file_not_uploaded")
        assert "0 of 4 bytes" in problem["detail"]
        presigner.post(told_how["url"], told_how["fields"], b"RIFF")
        status, problem = submit(system, told_how["file_id"])
        assert (status, problem["code"]) == (409, "file_not_uploaded")
        assert "items[0].ref_audio" in problem["detail"]
        assert system.api.get(f"/api/v1/files/{told_how['file_id']}").status_code == 409

    def test_bytes_of_another_size_or_type_are_refused_here_too(self, system: System) -> None:
        for data, content_type in ((b"RIFFRIFF", "audio/wav"), (b"RIFF", "text/html")):
            told_how = presign(system)
            key = f"uploads/acme/{told_how['file_id']}.presigned"
            system.store.put(key, data, content_type=content_type)
            status, problem = complete(system.api, told_how["file_id"])
            assert (status, problem["code"]) == (422, "upload_mismatch")
            assert submit(system, told_how["file_id"])[0] == 409

    def test_another_tenant_cannot_complete_it(self, system: System) -> None:
        assert complete(system.stranger, presign(system)["file_id"])[0] == 404
        assert complete(system.anonymous, presign(system)["file_id"])[0] == 401


class TestParts:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(presign_upload, "FORM_MAX_BYTES", 10)
        monkeypatch.setattr(presign_upload, "_PART_BYTES", 8)

    def test_a_large_file_comes_in_parts_that_cover_it_exactly(
        self, system: System, presigner: MemoryPresigner
    ) -> None:
        data = b"0123456789abcdefghi"
        told_how = presign(system, len(data))
        assert set(told_how) == {"file_id", "method", "parts", "expires_in_s"}
        assert told_how["method"] == "PUT"
        assert [(part["number"], part["offset_bytes"], part["size_bytes"]) for part in told_how["parts"]] == [
            (1, 0, 8),
            (2, 8, 8),
            (3, 16, 3),
        ]
        for count, part in enumerate(told_how["parts"]):
            status, problem = complete(system.api, told_how["file_id"])
            assert (status, problem["code"]) == (409, "file_not_uploaded")
            assert f"{8 * count} of 19 bytes" in problem["detail"]
            some = data[part["offset_bytes"] :][: part["size_bytes"]]
            assert presigner.put(part["url"], some) == 200
        assert complete(system.api, told_how["file_id"])[0] == 200
        assert complete(system.api, told_how["file_id"])[0] == 200
        assert system.api.get(f"/api/v1/files/{told_how['file_id']}").content == data

    def test_parts_of_an_upload_that_never_ended_are_removed(self, system: System, presigner: MemoryPresigner) -> None:
        told_how = presign(system, 19)
        presigner.put(told_how["parts"][0]["url"], b"01234567")
        row = system.table.get_file(told_how["file_id"])
        assert row is not None
        assert row.parts_id is not None
        system.clock.advance(2 * PRESIGNED_LIFE_S)
        sweep(system)
        assert system.store.join_parts(row.object_key, row.parts_id, size_bytes=8) is None
        assert complete(system.api, told_how["file_id"])[0] == 410


class TestStoresOwnWord:
    def test_a_put_that_the_store_tells_of_completes_the_upload(
        self, system: System, presigner: MemoryPresigner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_submit, "services", lambda: system.wired)
        told_how = presign(system)
        key = f"uploads/acme/{told_how['file_id']}.presigned"
        presigner.post(told_how["url"], told_how["fields"], b"RIFF")
        for _ in range(2):
            assert s3_submit.handler(told(key), Context()) == {"batchItemFailures": []}
        assert submit(system, told_how["file_id"])[0] == 200

    def test_what_is_not_as_agreed_stays_unusable_and_is_not_asked_for_again(
        self, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_submit, "services", lambda: system.wired)
        told_how = presign(system)
        key = f"uploads/acme/{told_how['file_id']}.presigned"
        system.store.put(key, b"larger than agreed", content_type="audio/wav")
        assert s3_submit.handler(told(key), Context()) == {"batchItemFailures": []}
        assert submit(system, told_how["file_id"])[0] == 409


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"size_bytes": 0}, 422, "empty_upload"),
            ({"size_bytes": MAX_UPLOAD_BYTES + 1}, 413, "payload_too_large"),
            ({"size_bytes": -1}, 422, "invalid_request"),
            ({"size_bytes": "4"}, 422, "invalid_request"),
            ({}, 422, "invalid_request"),
            ({"size_bytes": 4, "content_type": "audio"}, 422, "invalid_request"),
            ({"size_bytes": 4, "content_type": "a/b\r\nx: y"}, 422, "invalid_request"),
            ({"size_bytes": 4, "file_name": "../x"}, 422, "invalid_file_name"),
        ],
    )
    def test_what_cannot_be_uploaded_is_not_presigned(
        self, system: System, body: dict[str, object], status: int, code: str
    ) -> None:
        answer = system.api.post(PRESIGN, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_a_key_is_needed(self, system: System) -> None:
        assert system.anonymous.post(PRESIGN, json={"size_bytes": 4}).status_code == 401

    def test_what_never_came_is_swept_and_says_so(self, system: System) -> None:
        file_id = presign(system)["file_id"]
        system.clock.advance(2 * PRESIGNED_LIFE_S)
        sweep(system)
        assert submit(system, file_id)[0] == 410
        assert complete(system.api, file_id)[0] == 410
        assert system.table.due_files(now=system.clock.now(), limit=10) == []


class TestDownloads:
    def redirected(self, system: System, path: str, **headers: str) -> Any:
        limited = replace(system.wired, settings=system.wired.settings.model_copy(update={"inline_max_bytes": 10}))
        app.dependency_overrides[services] = lambda: limited
        return system.api.get(path, follow_redirects=False, headers=headers)

    def test_who_cannot_look_at_a_redirect_is_told_the_link_and_led_nowhere(
        self, system: System, presigner: MemoryPresigner
    ) -> None:
        path = f"/api/v1/files/{system.upload(b'0123456789+')}"
        answer = self.redirected(system, path, Prefer="no-redirect")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["preference-applied"] == "no-redirect"
        assert answer.headers["cache-control"] == "private, no-store"
        assert presigner.get(answer.headers["location"]) == (200, b"0123456789+")
        assert self.redirected(system, path, Prefer="respond-async").status_code == 307

    def test_a_file_that_no_answer_can_carry_is_answered_with_a_link(
        self, system: System, presigner: MemoryPresigner
    ) -> None:
        file_id = system.upload(b"0123456789+")
        answer = self.redirected(system, f"/api/v1/files/{file_id}")
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "private, no-store"
        assert presigner.get(answer.headers["location"]) == (200, b"0123456789+")
        system.clock.advance(60)
        assert presigner.get(answer.headers["location"])[0] == 403

    def test_a_link_ends_with_the_file(self, system: System, presigner: MemoryPresigner) -> None:
        file_id = system.upload(b"0123456789+")
        system.clock.advance(FILE_TTL_S - 5)
        link = self.redirected(system, f"/api/v1/files/{file_id}").headers["location"]
        system.clock.advance(5)
        assert presigner.get(link)[0] == 403
        assert self.redirected(system, f"/api/v1/files/{file_id}").status_code == 410

    def test_smaller_ones_are_answered_themselves(self, system: System) -> None:
        file_id = system.upload(b"0123456789")
        assert self.redirected(system, f"/api/v1/files/{file_id}").content == b"0123456789"

    def test_the_link_shows_no_uploaded_page(self, system: System) -> None:
        now = system.clock.now()
        links: list[str] = []

        class Recording(MemoryPresigner):
            def link(self, key: str, *, content_type: str, life_s: int) -> str:
                links.append(content_type)
                return super().link(key, content_type=content_type, life_s=life_s)

        file_id = "00000000-0000-0000-0000-000000000001"
        system.table.put_file(
            File(
                file_id=file_id,
                tenant="acme",
                kind=FileKind.UPLOAD,
                object_key="uploads/acme/page",
                size_bytes=99,
                content_type="text/html",
                created_at=now,
                expires_at=now.replace(year=now.year + 1),
            )
        )
        watched = replace(system.wired, presigner=Recording(system.store, system.clock))
        answer = self.redirected(replace(system, wired=watched), f"/api/v1/files/{file_id}")
        assert answer.status_code == 307
        assert links == ["application/octet-stream"]
