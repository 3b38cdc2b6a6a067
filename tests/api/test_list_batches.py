"""The list of a tenant's batches: what is told of each, what filters leave, and how pages follow each other."""

import base64
from typing import Any

import pytest

from asr_queue.domain.items import ItemError
from asr_queue.usecases import list_batches
from asr_queue.usecases.sweep_expired import sweep_expired
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_deletions import finish, started

PATH = "/api/v1/queue/batches"


def listed(system: System, **query: str | int) -> list[dict[str, Any]]:
    """Read all pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = system.api.get(PATH, params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        found += answer.json()["batches"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}


def submit(system: System, label: str = "", items: int = 1, **fields: object) -> str:
    file_id = system.upload()
    body = {"label": label, "items": [{"operation": "transcribe", "ref_audio": file_id}] * items, **fields}
    answer = system.api.post("/api/v1/queue/submit", json=body)
    assert answer.status_code == 200, answer.text
    system.clock.advance(1)
    return str(answer.json()["batch_id"])


def fail(system: System, batch_id: str, index: int) -> None:
    item = started(system, batch_id, index).failed(ItemError("any", "any"), now=system.clock.now())
    assert system.table.finish_items([(item, None)]) == [True]


def test_a_batch_is_told_as_its_status_tells_it(system: System) -> None:
    batch_id = submit(system, "a label", 4, priority="high")
    assert finish(system, started(system, batch_id, 0))
    fail(system, batch_id, 1)
    started(system, batch_id, 2)
    [batch] = listed(system)
    status = system.api.get(f"/api/v1/queue/status/{batch_id}").json()
    shared = ("batch_id", "label", "status", "completed", "failed", "total")
    assert {name: batch[name] for name in shared} == {name: status[name] for name in shared}
    assert (batch["queued"], batch["processing"], batch["priority"]) == (1, 1, "high")
    assert batch["created_at"].endswith("Z")
    assert (batch["finished_at"], batch["retry_of"]) == (None, None)


def test_what_is_told_of_a_finished_batch_is_the_same_before_and_after_its_end_was_noted(system: System) -> None:
    batch_id = submit(system, items=2)
    fail(system, batch_id, 0)
    fail(system, batch_id, 1)
    [unnoted] = listed(system)
    assert (unnoted["status"], unnoted["failed"]) == ("error", 2)
    assert unnoted["finished_at"] is not None
    system.clock.advance(200)
    wired = system.wired
    sweep_expired(store=wired.store, table=wired.table, queues=wired.queues, clock=wired.clock, file_ttl_s=FILE_TTL_S)
    found = system.table.load_batch(batch_id)
    assert found is not None
    assert found[0].finished_at is not None
    assert listed(system) == [unnoted]


def test_pages_are_newest_first_and_have_each_batch_once(system: System) -> None:
    ids = [submit(system) for _ in range(7)]
    for limit in (1, 2, 3, 7, 100):
        assert [batch["batch_id"] for batch in listed(system, limit=limit)] == ids[::-1]


def test_a_batch_that_comes_between_two_pages_moves_none(system: System) -> None:
    ids = [submit(system) for _ in range(4)]
    first = system.api.get(PATH, params={"limit": 2}).json()
    submit(system)
    second = system.api.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [batch["batch_id"] for batch in first["batches"] + second["batches"]] == ids[::-1]


def test_labels_are_matched_exactly_and_states_as_the_status_has_them(system: System) -> None:
    one, other, done = submit(system, "talk"), submit(system, "talks"), submit(system, "talk")
    assert finish(system, started(system, done))
    assert [batch["batch_id"] for batch in listed(system, label="talk")] == [done, one]
    assert [batch["batch_id"] for batch in listed(system, state="queued")] == [other, one]
    assert [batch["batch_id"] for batch in listed(system, state="completed", label="talk")] == [done]
    assert listed(system, state="partial") == []


def test_a_time_range_includes_its_beginning_and_leaves_out_its_end(system: System) -> None:
    ids = [submit(system) for _ in range(3)]
    times = {batch["batch_id"]: batch["created_at"] for batch in listed(system)}
    between = listed(system, created_from=times[ids[0]], created_to=times[ids[2]])
    assert [batch["batch_id"] for batch in between] == [ids[1], ids[0]]
    assert listed(system, created_from="9999-12-31T23:59:59Z") == []
    assert listed(system, created_to="0001-01-01T00:00:00Z") == []


def test_a_page_of_a_rare_state_may_be_empty_and_the_next_ones_have_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_batches, "_LOOKS", 1)
    monkeypatch.setattr(list_batches, "_AT_ONCE", 2)
    rare = submit(system)
    assert finish(system, started(system, rare))
    for _ in range(5):
        submit(system)
    answer = system.api.get(PATH, params={"state": "completed"}).json()
    assert answer["batches"] == []
    assert answer["next_cursor"] is not None
    assert [batch["batch_id"] for batch in listed(system, state="completed", limit=1)] == [rare]


def test_a_deleted_batch_is_not_listed(system: System) -> None:
    kept, deleted = submit(system), submit(system)
    system.api.delete(f"{PATH}/{deleted}")
    assert [batch["batch_id"] for batch in listed(system)] == [kept]


def test_a_tenant_sees_its_own_alone_and_a_cursor_of_anothers_leads_nowhere(system: System) -> None:
    for _ in range(3):
        submit(system, "mine")
    assert system.stranger.get(PATH).json() == {"batches": [], "next_cursor": None}
    cursor = system.api.get(PATH, params={"limit": 1}).json()["next_cursor"]
    answer = system.stranger.get(PATH, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "===",
        "ümlaut",
        base64.urlsafe_b64encode(b"acme/1/nobody").decode(),
        base64.urlsafe_b64encode(b"acme/-1/3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce").decode(),
        base64.urlsafe_b64encode(b"acme/99999999999999999999/3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce").decode(),
        base64.urlsafe_b64encode(b"acme/1_0/3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_of_nobodys_is_refused(system: System, cursor: str) -> None:
    answer = system.api.get(PATH, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "many"},
        {"state": "paused"},
        {"label": "x" * 501},
        {"created_from": "yesterday"},
        {"created_from": "2026-01-31T12:00:00"},
        {"cursor": "x" * 401},
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_its_name(system: System, query: dict[str, str | int]) -> None:
    answer = system.api.get(PATH, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    [name] = query
    assert name in answer.json()["detail"]


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
def test_listing_needs_a_key_wherever_others_do_not(system: System) -> None:
    assert system.anonymous.get(PATH).status_code == 401


@pytest.mark.parametrize("sent", ["0.5", "-1", "1769860800", "2026-01-31T12:00:00", "yesterday"])
def test_an_instant_is_no_number_and_says_where_it_is(system: System, sent: str) -> None:
    answer = system.api.get("/api/v1/queue/batches", params={"created_to": sent})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
