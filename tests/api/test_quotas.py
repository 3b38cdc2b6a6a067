"""Limits of keys: what is refused, what never counts, and that usage is always what the rows say."""

import httpx
import pytest
from fastapi.testclient import TestClient

from asr_queue.domain.items import Item, ItemError
from asr_queue.domain.quotas import Limits, Usage
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.sweep_expired import sweep_expired
from handlers.api import app
from tests.api.conftest import FILE_TTL_S, System


def limited(system: System, *, tenant: str = "acme", **limits: int) -> TestClient:
    """Return a client with a key of its own."""
    key, _ = create_key(tenant=tenant, name="limited", table=system.table, clock=system.clock, limits=Limits(**limits))
    return TestClient(app, headers={"X-API-Key": key})


def upload(api: TestClient, data: bytes = b"RIFF") -> httpx.Response:
    return api.post("/api/v1/files/upload", files={"file": ("talk.wav", data, "audio/wav")})


def presign(api: TestClient, size_bytes: int) -> httpx.Response:
    return api.post("/api/v1/files/presign", json={"size_bytes": size_bytes, "content_type": "audio/wav"})


def submit(api: TestClient, file_id: str, items: int = 1) -> httpx.Response:
    body = {"items": [{"operation": "transcribe", "ref_audio": file_id}] * items}
    return api.post("/api/v1/queue/submit", json=body)


def refused(answer: httpx.Response, code: str) -> int:
    """Check a refusal; return after how many seconds to ask again."""
    assert (answer.status_code, answer.json()["code"]) == (429, code)
    assert answer.headers["content-type"] == "application/problem+json"
    return int(answer.headers["retry-after"])


def sweep(system: System) -> None:
    wired = system.wired
    sweep_expired(store=wired.store, table=wired.table, queues=wired.queues, clock=wired.clock, file_ttl_s=FILE_TTL_S)


def end(system: System, batch_id: str, index: int) -> None:
    item = system.table.claim_item(batch_id, index, now=system.clock.now())
    assert isinstance(item, Item)
    [ours] = system.table.finish_items([(item.failed(ItemError("any", "any"), now=system.clock.now()), None)])
    assert ours


class TestItems:
    def test_more_than_may_wait_is_refused_until_some_are_done(self, system: System) -> None:
        with limited(system, items_waiting=5) as api:
            file_id = system.upload()
            batch_id = submit(api, file_id, 4).json()["batch_id"]
            assert submit(api, file_id).status_code == 200
            assert refused(submit(api, file_id), "too_many_items_waiting") >= 1
            for index in range(2):
                end(system, batch_id, index)
            assert submit(api, file_id, 3).json()["code"] == "too_many_items_waiting"
            assert submit(api, file_id, 2).status_code == 200

    def test_what_never_can_wait_is_no_matter_of_time(self, system: System) -> None:
        with limited(system, items_waiting=5) as api:
            answer = submit(api, system.upload(), 6)
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_items")

    def test_a_second_key_of_the_tenant_is_no_second_quota(self, system: System) -> None:
        with limited(system, items_waiting=2) as first, limited(system, items_waiting=3) as second:
            file_id = system.upload()
            assert submit(first, file_id, 2).status_code == 200
            refused(submit(second, file_id, 2), "too_many_items_waiting")
            assert submit(second, file_id).status_code == 200

    def test_what_was_submitted_without_a_limit_never_counts(self, system: System) -> None:
        file_id = system.upload()
        batch_id = submit(system.api, file_id, 10).json()["batch_id"]
        with limited(system, items_waiting=1) as api:
            assert submit(api, file_id).status_code == 200
            end(system, batch_id, 0)
            refused(submit(api, file_id), "too_many_items_waiting")

    def test_another_tenant_is_not_concerned(self, system: System) -> None:
        with limited(system, items_waiting=1) as one, limited(system, tenant="other", items_waiting=1) as other:
            assert submit(one, system.upload()).status_code == 200
            assert submit(other, upload(other).json()["file_id"]).status_code == 200

    def test_a_deleted_batch_does_not_wait(self, system: System) -> None:
        with limited(system, items_waiting=3) as api:
            file_id = system.upload()
            batch_id = submit(api, file_id, 3).json()["batch_id"]
            refused(submit(api, file_id), "too_many_items_waiting")
            assert api.delete(f"/api/v1/queue/batches/{batch_id}").status_code == 204
            assert submit(api, file_id, 3).status_code == 200

    def test_a_refused_submit_does_not_use_its_idempotency_key_up(self, system: System) -> None:
        with limited(system, items_waiting=1) as api:
            file_id = system.upload()
            batch_id = submit(api, file_id).json()["batch_id"]
            api.headers["Idempotency-Key"] = "k"
            refused(submit(api, file_id), "too_many_items_waiting")
            end(system, batch_id, 0)
            assert submit(api, file_id).status_code == 200
            assert submit(api, file_id).headers["idempotency-replayed"] == "true", "a replay needs no room"


class TestBytes:
    def test_more_than_may_be_stored_is_refused_until_some_has_gone(self, system: System) -> None:
        with limited(system, bytes_stored=10) as api:
            assert upload(api, b"x" * 6).status_code == 200
            assert refused(upload(api, b"x" * 5), "too_many_bytes_stored") >= 1
            assert upload(api, b"x" * 4).status_code == 200
            refused(presign(api, 1), "too_many_bytes_stored")
            system.clock.advance(FILE_TTL_S + 60)
            sweep(system)
            assert upload(api, b"x" * 10).status_code == 200

    def test_what_never_fits_is_no_matter_of_time(self, system: System) -> None:
        with limited(system, bytes_stored=10) as api:
            for answer in (upload(api, b"x" * 11), presign(api, 11)):
                assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")

    def test_an_upload_counts_from_its_presign_and_goes_when_it_never_came(self, system: System) -> None:
        with limited(system, bytes_stored=10) as api:
            assert presign(api, 10).status_code == 200
            refused(upload(api, b"x"), "too_many_bytes_stored")
            system.clock.advance(2 * 3600)
            sweep(system)
            assert upload(api, b"x" * 10).status_code == 200

    def test_a_deleted_upload_counts_until_it_is_swept(self, system: System) -> None:
        with limited(system, bytes_stored=10) as api:
            file_id = upload(api, b"x" * 10).json()["file_id"]
            assert api.delete(f"/api/v1/files/{file_id}").status_code == 204
            system.clock.advance(60)
            sweep(system)
            assert system.table.usage("acme") == Usage()
            assert upload(api, b"x" * 10).status_code == 200

    def test_an_upload_that_an_item_needs_counts_until_it_goes(self, system: System) -> None:
        with limited(system, bytes_stored=10) as api:
            file_id = upload(api, b"x" * 10).json()["file_id"]
            batch_id = submit(api, file_id).json()["batch_id"]
            system.clock.advance(FILE_TTL_S + 60)
            sweep(system)
            refused(upload(api, b"x"), "too_many_bytes_stored")
            end(system, batch_id, 0)
            sweep(system)
            assert upload(api, b"x" * 10).status_code == 200


class TestRequests:
    def test_more_in_a_second_are_refused_whatever_they_ask(self, system: System) -> None:
        with limited(system, requests_per_s=3) as api:
            assert [api.get("/api/v1/files/none").status_code for _ in range(3)] == [404] * 3
            assert refused(upload(api), "too_many_requests") == 1
            refused(api.get("/api/v1/queue/status/none"), "too_many_requests")
            assert system.api.get("/api/v1/files/none").status_code == 404, "another key's"
            system.clock.advance(1)
            assert upload(api).status_code == 200

    def test_a_wrong_key_counts_nothing(self, system: System) -> None:
        for _ in range(3):
            answer = system.anonymous.get("/api/v1/files/none", headers={"X-API-Key": "wrong"})
            assert answer.status_code == 401
        assert not system.table._requests


class TestDefaults:
    @pytest.mark.parametrize(
        "setting", [{"max_items_waiting": 1}, {"max_bytes_stored": 4}, {"max_requests_per_s": 4}], ids=str
    )
    def test_the_settings_hold_where_a_key_has_no_limit(self, system: System, setting: dict[str, int]) -> None:
        [name] = setting
        object.__setattr__(system.wired, "settings", system.wired.settings.model_copy(update=setting))
        own = {name.removeprefix("max_"): 1000}
        with limited(system, **own) as free:
            for _ in range(3):
                assert submit(free, upload(free).json()["file_id"]).status_code == 200
        with limited(system, tenant="third") as api:
            codes = set()
            for _ in range(2):
                answer = upload(api)
                if answer.status_code == 200:
                    answer = submit(api, answer.json()["file_id"])
                codes.add(answer.status_code)
            answer = api.get("/api/v1/files/none")
            assert 429 in codes | {answer.status_code}

    def test_without_limits_nothing_is_counted(self, system: System) -> None:
        submit(system.api, system.upload(), 3)
        assert system.table.usage("acme") == Usage()
        assert not system.table._requests
