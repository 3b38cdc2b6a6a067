"""Cancelling: what ends, what stays, and what it costs those who have an item in hand."""

import pytest
from fastapi.testclient import TestClient

from asr_queue.domain.items import Item, ItemStatus
from asr_queue.domain.quotas import Limits, Usage
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.manage_keys import create_key
from asr_queue.wire.messages import ItemMessage
from gpu_worker.leases import Leases
from gpu_worker.pipeline.receive import claim, hold
from handlers.api import app
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_deletions import finish, started, sweep

NOBODY = "00000000-0000-4000-8000-000000000000"


def cancel(system: System, batch_id: object, item_id: object = None) -> int:
    path = f"/api/v1/queue/batches/{batch_id}" + (f"/items/{item_id}" if item_id else "") + "/cancel"
    answer = system.api.post(path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["batch_id"] == batch_id
    return int(answer.json()["cancelled"])


def status(system: System, batch_id: object) -> dict[str, object]:
    return dict(system.api.get(f"/api/v1/queue/status/{batch_id}").json())


def items(system: System, batch_id: object) -> list[Item]:
    found = system.table.load_batch(str(batch_id))
    assert found is not None
    return found[1]


def test_what_has_not_ended_ends_and_what_is_done_stays_done(system: System) -> None:
    file_id = system.upload()
    batch_id = system.submit(file_id, file_id, file_id)["batch_id"]
    assert finish(system, started(system, batch_id, 0))
    started(system, batch_id, 1)
    assert cancel(system, batch_id) == 2
    answer = status(system, batch_id)
    assert (answer["status"], answer["completed"], answer["failed"]) == ("partial", 1, 2)
    assert [item["error_code"] for item in answer["items"]] == [None, "cancelled", "cancelled"]
    assert system.table.load_batch(str(batch_id))[0].finished_at is not None, "its end is noted at once"
    assert "cancelled" in answer["items"][1]["error"]
    assert system.api.get(answer["items"][0]["url"]).status_code == 200


def test_cancelling_again_or_what_is_finished_changes_nothing(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    assert cancel(system, batch_id) == 1
    before = status(system, batch_id)
    system.clock.advance(1)
    assert cancel(system, batch_id) == 0
    assert cancel(system, batch_id, before["items"][0]["item_id"]) == 0
    assert status(system, batch_id) == before


def test_one_item_is_cancelled_and_the_others_go_on(system: System) -> None:
    file_id = system.upload()
    submitted = system.submit(file_id, file_id)
    assert cancel(system, submitted["batch_id"], submitted["item_ids"][1]) == 1
    assert [item.status for item in items(system, submitted["batch_id"])] == [ItemStatus.QUEUED, ItemStatus.ERROR]
    assert finish(system, started(system, submitted["batch_id"], 0))
    assert status(system, submitted["batch_id"])["status"] == "partial"


def test_a_worker_that_has_a_cancelled_item_in_hand_leaves_nothing(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    in_hand = started(system, batch_id)
    assert cancel(system, batch_id) == 1
    assert not finish(system, in_hand), "its write is refused"
    assert system.store.list_keys("results/") == []
    [item] = items(system, batch_id)
    assert item.error is not None
    assert (item.status, item.error.code, item.result_key) == (ItemStatus.ERROR, "cancelled", None)


def test_a_message_that_is_left_finds_nothing_to_do_and_nothing_is_sent_again(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    cancel(system, batch_id)
    [delivery] = system.queue.receive(max_messages=10, wait_s=0)
    assert claim_item(ItemMessage.parse(delivery.body), table=system.table, clock=system.clock) is None
    system.queue.drop_all()
    system.clock.advance(200)
    sweep(system)
    assert system.queue.backlog().visible == 0


def test_the_upload_is_free_and_the_quota_has_room_again(system: System) -> None:
    limits = Limits(items_waiting=2)
    key, _ = create_key(tenant="acme", name="limited", table=system.table, clock=system.clock, limits=limits)
    file_id = system.upload()
    body = {"items": [{"operation": "transcribe", "ref_audio": file_id}] * 2}
    with TestClient(app, headers={"X-API-Key": key}) as api:
        batch_id = api.post("/api/v1/queue/submit", json=body).json()["batch_id"]
        assert api.post("/api/v1/queue/submit", json=body).status_code == 429
        assert cancel(system, batch_id) == 2
        assert system.table.usage("acme") == Usage(items_waiting=0, bytes_stored=0)
        assert system.api.delete(f"/api/v1/files/{file_id}").status_code == 204, "no item needs it"


@pytest.mark.parametrize("path", [f"{NOBODY}/cancel", f"{NOBODY}/items/{NOBODY}/cancel", "no-id/cancel"])
def test_a_batch_that_is_not_there_cannot_be_cancelled(system: System, path: str) -> None:
    answer = system.api.post(f"/api/v1/queue/batches/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")


def test_an_item_of_another_batch_is_not_found(system: System) -> None:
    file_id = system.upload()
    one, other = system.submit(file_id), system.submit(file_id)
    [item_id] = other["item_ids"]
    answer = system.api.post(f"/api/v1/queue/batches/{one['batch_id']}/items/{item_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (404, "item_not_found")
    assert [item.status for item in items(system, other["batch_id"])] == [ItemStatus.QUEUED]


def test_a_strangers_batch_is_not_found_and_goes_on(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    answer = system.stranger.post(f"/api/v1/queue/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
    assert [item.status for item in items(system, batch_id)] == [ItemStatus.QUEUED]


def test_a_deleted_batch_cannot_be_cancelled(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    assert system.api.delete(f"/api/v1/queue/batches/{batch_id}").status_code == 204
    answer = system.api.post(f"/api/v1/queue/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (410, "batch_deleted")


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
def test_cancelling_needs_a_key_wherever_others_do_not(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    assert system.anonymous.get(f"/api/v1/queue/status/{batch_id}").status_code == 200
    assert system.anonymous.post(f"/api/v1/queue/batches/{batch_id}/cancel").status_code == 401


def test_the_messages_that_a_cancelled_batch_has_left_cost_no_reading_of_its_items(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = system.submit(*[system.upload()] * 9)["batch_id"]
    cancel(system, batch_id)
    monkeypatch.setattr(system.table, "load_batch", None)
    leases = Leases(system.queue, visibility_timeout_s=30)
    received = hold(system.queue.receive(max_messages=10, wait_s=0), leases)
    assert len(received) == 9
    for one in received:
        assert claim(one, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S) is None
