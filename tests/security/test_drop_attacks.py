"""What somebody who may write under drop/<tenant>/ can put there, and the note that it gets."""

import json

import pytest

from asr_queue.errors import CallerError
from asr_queue.usecases.accept_drop import accept_drop
from asr_queue.usecases.manage_keys import create_key
from handlers import s3_submit
from tests.api.conftest import FILE_TTL_S, MAX_UPLOAD_BYTES, System
from tests.api.test_drops import note, put, store
from tests.api.test_functions import Context
from tests.security.drop_attacks import DROP_ATTACKS, DropAttack

MANIFEST = "drop/acme/m.manifest.json"


@pytest.fixture
def wired(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(s3_submit, "services", lambda: system.wired)
    return system


@pytest.mark.parametrize("attack", DROP_ATTACKS, ids=lambda attack: attack.what)
def test_every_attack_by_a_drop_gets_its_note_and_no_batch(wired: System, attack: DropAttack) -> None:
    theirs = wired.stranger.post("/api/v1/files/upload", files={"file": b"RIFF"}).json()["file_id"]
    store(wired, "drop/acme/a.wav")
    store(wired, "drop/other/b.wav")
    put(wired, attack.key, attack.body.replace(b"$THEIR_FILE$", theirs.encode()))
    problem = note(wired, attack.key + ".error.json")
    assert (problem["code"], problem["status"]) == (attack.code, attack.status)
    assert len(json.dumps(problem)) < 10_000
    assert wired.queue.backlog().visible == 0
    assert {key.split("/")[1] for key in wired.store.list_keys("drop/") if key.endswith(".json")} == {
        attack.key.split("/")[1]
    }


def test_a_key_that_leaves_no_room_for_a_note_is_refused_without_one(wired: System) -> None:
    key = "drop/acme/audio/en/" + "x" * 1000
    store(wired, key)
    accepted = accept_drop(
        key,
        store=wired.store,
        table=wired.table,
        queues=wired.wired.queues,
        clock=wired.clock,
        file_ttl_s=FILE_TTL_S,
        max_upload_bytes=MAX_UPLOAD_BYTES,
    )
    assert accepted.refusal is not None
    assert accepted.refusal.code == "invalid_request"
    assert wired.store.list_keys("") == [key]
    assert wired.queue.backlog().visible == 0


@pytest.mark.parametrize(
    "body",
    [
        "nothing of S3's",
        "[" * 100_000,
        '{"Records": "x"}',
        '{"Records": [{"s3": {"object": {"key": 7}}}]}',
        '{"Records": [{"s3": {"object": {"key": ["drop/acme/a"]}}}]}',
        '{"Records": 1e999}',
        "9" * 5000,
    ],
)
def test_a_message_that_is_none_of_the_buckets_ends_in_the_log(
    wired: System, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    record = {"messageId": "1", "receiptHandle": "h", "body": body, "attributes": {}, "eventSource": "aws:sqs"}
    assert s3_submit.handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    assert "poison_message" in caplog.messages


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "a#b", "a b", "ä", "x" * 65, "a\n"])
def test_no_tenant_has_a_name_that_could_reach_into_anothers_keys(system: System, tenant: str) -> None:
    with pytest.raises(CallerError) as caught:
        create_key(tenant=tenant, name="test", table=system.table, clock=system.clock)
    assert caught.value.code == "invalid_tenant"


@pytest.mark.parametrize("tenant", ["default", "a", "Team_7.example-com", "x" * 64])
def test_any_other_name_will_do(system: System, tenant: str) -> None:
    assert create_key(tenant=tenant, name="test", table=system.table, clock=system.clock)[1].tenant == tenant
