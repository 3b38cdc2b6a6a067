"""Retrying: what is submitted again, what is not, and what becomes of prompts and uploads meanwhile."""

import httpx
import pytest
from fastapi.testclient import TestClient

from asr_queue.domain.batches import Batch
from asr_queue.domain.items import Item, ItemError
from asr_queue.domain.languages import NAMES, resolve
from asr_queue.domain.quotas import Limits
from asr_queue.usecases.manage_keys import create_key
from handlers.api import app
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_cancel import cancel
from tests.api.test_deletions import finish, started, sweep

FAULT = ItemError("audio_undecodable", "This is no audio.")
ITEM = {"operation": "transcribe", "language": "German", "return_timestamps": True, "prompt": "Žižek"}


def retry(system: System, batch_id: object, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return system.api.post(f"/api/v1/queue/batches/{batch_id}/retry", headers=headers)


def submit(system: System, *custom_ids: str, **fields: object) -> str:
    items = [ITEM | {"ref_audio": system.upload(), "custom_id": custom_id} for custom_id in custom_ids]
    answer = system.api.post("/api/v1/queue/submit", json={"label": "talks", "items": items, **fields})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["batch_id"])


def fail(system: System, batch_id: str, *indexes: int) -> None:
    for index in indexes:
        item = started(system, batch_id, index).failed(FAULT, now=system.clock.now())
        assert system.table.finish_items([(item, None)]) == [True]


def load(system: System, batch_id: object) -> tuple[Batch, list[Item]]:
    found = system.table.load_batch(str(batch_id))
    assert found is not None
    return found


def test_what_failed_and_only_that_becomes_a_new_batch_in_its_order(system: System) -> None:
    batch_id = submit(system, "a", "b", "c", "d", priority="low")
    assert finish(system, started(system, batch_id, 1))
    fail(system, batch_id, 3, 0)
    cancel(system, batch_id)
    before = system.api.get(f"/api/v1/queue/status/{batch_id}").json()
    system.clock.advance(1)
    answer = retry(system, batch_id)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["retry_of"], told["total_items"], told["status"]) == (batch_id, 2, "queued")
    batch, items = load(system, told["batch_id"])
    assert (batch.label, batch.priority, batch.retry_of) == ("talks", "low", batch_id)
    assert [item.custom_id for item in items] == ["a", "d"]
    assert [item.item_id for item in items] == told["item_ids"]
    _, old = load(system, batch_id)
    assert [item.upload_id for item in items] == [old[0].upload_id, old[3].upload_id]
    assert {(item.language, item.return_timestamps, item.prompt) for item in items} == {("de", True, "Žižek")}
    assert system.api.get(f"/api/v1/queue/status/{batch_id}").json() == before, "a finished batch never changes"
    assert system.api.get("/api/v1/queue/batches").json()["batches"][0]["retry_of"] == batch_id


def test_a_retry_can_be_retried(system: System) -> None:
    batch_id = submit(system, "a")
    for _ in range(3):
        fail(system, batch_id, 0)
        answer = retry(system, batch_id).json()
        assert answer["retry_of"] == batch_id
        batch_id = answer["batch_id"]
    assert finish(system, started(system, batch_id))


def test_where_nothing_has_failed_there_is_nothing_to_retry(system: System) -> None:
    batch_id = submit(system, "a", "b")
    assert finish(system, started(system, batch_id, 0))
    cancel(system, batch_id)
    answer = retry(system, batch_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")
    assert len(system.table.batch_ids()) == 1


def test_items_whose_uploads_have_expired_are_named_and_nothing_is_submitted(system: System) -> None:
    batch_id = submit(system, "a", "", "c")
    fail(system, batch_id, 0, 1, 2)
    system.clock.advance(FILE_TTL_S - 1)
    _, items = load(system, batch_id)
    assert system.api.delete(f"/api/v1/files/{items[0].upload_id}").status_code == 204
    assert system.api.delete(f"/api/v1/files/{items[1].upload_id}").status_code == 204
    answer = retry(system, batch_id, "key")
    assert (answer.status_code, answer.json()["code"]) == (410, "file_expired")
    assert "'a', items[1] have expired" in answer.json()["detail"]
    assert "'c'" not in answer.json()["detail"]
    system.clock.advance(1)
    assert "'a', items[1], 'c' have expired" in retry(system, batch_id, "key").json()["detail"]
    assert len(system.table.batch_ids()) == 1


def test_a_repeated_retry_with_one_key_is_one_batch_whatever_failed_or_expired_since(system: System) -> None:
    batch_id = submit(system, "a", "b")
    fail(system, batch_id, 0)
    first = retry(system, batch_id, "key")
    fail(system, batch_id, 1)
    system.clock.advance(FILE_TTL_S)
    again = retry(system, batch_id, "key")
    assert (again.status_code, again.json()) == (200, first.json())
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    other = submit(system, "c")
    fail(system, other, 0)
    assert retry(system, other, "key").json()["code"] == "idempotency_key_reused"


def test_a_retry_counts_against_the_limits_of_its_key(system: System) -> None:
    batch_id = submit(system, "a", "b")
    fail(system, batch_id, 0, 1)
    limits = Limits(items_waiting=1)
    key, _ = create_key(tenant="acme", name="limited", table=system.table, clock=system.clock, limits=limits)
    with TestClient(app, headers={"X-API-Key": key}) as api:
        answer = api.post(f"/api/v1/queue/batches/{batch_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_items")


def test_a_failed_items_prompt_is_kept_until_no_retry_can_need_it(system: System) -> None:
    batch_id = submit(system, "a", "b")
    assert finish(system, started(system, batch_id, 0))
    fail(system, batch_id, 1)
    system.clock.advance(200)
    sweep(system)
    assert [item.prompt for item in load(system, batch_id)[1]] == ["", "Žižek"]
    system.clock.advance(FILE_TTL_S)
    sweep(system)
    assert [item.prompt for item in load(system, batch_id)[1]] == ["", ""]


def test_a_cancelled_items_prompt_is_forgotten_at_once(system: System) -> None:
    batch_id = submit(system, "a")
    cancel(system, batch_id)
    assert [item.prompt for item in load(system, batch_id)[1]] == [""]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "no-id"])
def test_a_batch_that_is_not_there_cannot_be_retried(system: System, name: str) -> None:
    answer = retry(system, name)
    assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")


def test_a_strangers_or_a_deleted_batch_cannot_be_retried(system: System) -> None:
    batch_id = submit(system, "a")
    fail(system, batch_id, 0)
    answer = system.stranger.post(f"/api/v1/queue/batches/{batch_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
    assert system.api.delete(f"/api/v1/queue/batches/{batch_id}").status_code == 204
    assert retry(system, batch_id).json()["code"] == "batch_deleted"


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
def test_retrying_needs_a_key_wherever_others_do_not(system: System) -> None:
    batch_id = submit(system, "a")
    fail(system, batch_id, 0)
    assert system.anonymous.post(f"/api/v1/queue/batches/{batch_id}/retry").status_code == 401


def test_every_language_that_an_item_may_have_can_be_asked_for_again() -> None:
    assert all(resolve(code) == code for code in NAMES)
