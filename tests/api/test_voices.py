"""Named voices: what becomes of a sample, how long it stays, and what is written down."""

import hashlib
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from asr_queue.domain.quotas import Limits
from asr_queue.domain.voices import MAX_VOICE_BYTES
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.purge_tenant import purge_tenant
from handlers import sweep
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_bad_requests import refused
from tests.api.test_voice_clone import TEXT, items_of, speak, speaking, submit, voices

__all__ = ["speaking", "voices"]
PATH = "/api/v1/voices"
SAMPLE = b"RIFF of somebody"


def wanted(system: System, **fields: object) -> dict[str, Any]:
    return {"name": "Anna", "ref_audio": system.upload(SAMPLE), "said": "Hello there.", "consent": True, **fields}


def created(system: System, **fields: object) -> str:
    answer = system.api.post(PATH, json=wanted(system, **fields))
    assert answer.status_code == 200, answer.text
    system.clock.advance(1)
    return str(answer.json()["voice_id"])


def spoken(voice_id: str) -> dict[str, Any]:
    return {"operation": "voice_clone", "ref_audio": voice_id, "text": TEXT}


def test_a_voice_is_told_as_it_was_made(speaking: System) -> None:
    made = speaking.api.post(PATH, json=wanted(speaking)).json()
    assert (made["name"], made["said"], made["size_bytes"]) == ("Anna", "Hello there.", len(SAMPLE))
    assert speaking.api.get(f"{PATH}/{made['voice_id']}").json() == made
    assert speaking.api.get(PATH).json() == {"voices": [made], "next_cursor": None}


def test_a_voice_outlives_its_upload_every_sweep_and_years(speaking: System) -> None:
    voice_id = created(speaking)
    speaking.clock.advance(timedelta(days=1000).total_seconds())
    sweep.run(speaking.wired)
    assert speaking.store.list_keys("uploads/") == []
    batch_id = submit(speaking, spoken(voice_id))
    [item] = items_of(speaking, batch_id)
    assert speaking.store.get(item.upload_key) == SAMPLE
    assert speaking.api.get(f"/api/v1/files/{voice_id}").content == SAMPLE


def test_what_is_said_in_the_sample_is_in_the_item_until_its_end(speaking: System) -> None:
    batch_id = submit(speaking, spoken(created(speaking)), spoken(created(speaking, said=None)))
    assert [item.said for item in items_of(speaking, batch_id)] == ["Hello there.", ""]
    assert speak(speaking, batch_id).said == ""


def test_a_voice_that_an_unfinished_item_needs_stays(speaking: System) -> None:
    voice_id = created(speaking)
    batch_id = submit(speaking, spoken(voice_id))
    refused(speaking.api.delete(f"{PATH}/{voice_id}"), 409, "file_in_use")
    speak(speaking, batch_id)
    for _ in range(2):
        assert speaking.api.delete(f"{PATH}/{voice_id}").status_code == 204
    assert speaking.store.list_keys("voices/") == []
    assert speaking.api.get(PATH).json()["voices"] == []
    refused(speaking.api.get(f"{PATH}/{voice_id}"), 404, "voice_not_found")
    refused(speaking.api.post("/api/v1/queue/submit", json={"items": [spoken(voice_id)]}), 410, "file_expired")


def test_pages_follow_each_other_newest_first_whatever_is_deleted_meanwhile(speaking: System) -> None:
    voice_ids = [created(speaking) for _ in range(5)]
    first = speaking.api.get(PATH, params={"limit": 2}).json()
    assert [voice["voice_id"] for voice in first["voices"]] == voice_ids[:2:-1]
    speaking.api.delete(f"{PATH}/{voice_ids[3]}")
    second = speaking.api.get(PATH, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [voice["voice_id"] for voice in second["voices"]] == voice_ids[2::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("fields", [{"consent": False}, {"consent": None}])
def test_without_consent_there_is_no_voice(speaking: System, fields: dict[str, Any]) -> None:
    body = {name: value for name, value in wanted(speaking, **fields).items() if value is not None}
    refused(speaking.api.post(PATH, json=body), 422, "consent_missing")
    assert speaking.store.list_keys("voices/") == []


def test_a_system_that_does_not_speak_makes_no_voices_and_lists_those_it_has(system: System) -> None:
    refused(system.api.post(PATH, json=wanted(system)), 422, "operation_unavailable")
    assert system.api.get(PATH).json() == {"voices": [], "next_cursor": None}


def test_a_sample_that_is_not_there_is_refused_by_what_is_wrong_with_it(speaking: System) -> None:
    awaited = speaking.api.post("/api/v1/files/presign", json={"size_bytes": 4}).json()["file_id"]
    refused(speaking.api.post(PATH, json=wanted(speaking, ref_audio=awaited)), 409, "file_not_uploaded")
    refused(speaking.api.post(PATH, json=wanted(speaking, ref_audio="nobody")), 404, "file_not_found")
    body = wanted(speaking)
    speaking.clock.advance(FILE_TTL_S)
    refused(speaking.api.post(PATH, json=body), 410, "file_expired")


def test_a_sample_that_is_too_large_is_not_even_read(speaking: System) -> None:
    body = wanted(speaking)
    large = speaking.table.get_file(body["ref_audio"])
    assert large is not None
    speaking.table.put_file(replace(large, size_bytes=MAX_VOICE_BYTES + 1))
    speaking.store.delete([large.object_key])
    refused(speaking.api.post(PATH, json=body), 422, "voice_too_large")


def test_a_voice_counts_among_the_bytes_of_its_tenant_until_it_is_deleted(speaking: System) -> None:
    limits = Limits(bytes_stored=2 * len(SAMPLE))
    key, _ = create_key(tenant="acme", name="limited", table=speaking.table, clock=speaking.clock, limits=limits)
    headers = {"X-API-Key": key}
    body = wanted(speaking)
    voice_ids = [speaking.api.post(PATH, json=body, headers=headers).json()["voice_id"] for _ in range(2)]
    refused(speaking.api.post(PATH, json=body, headers=headers), 429, "too_many_bytes_stored")
    speaking.api.delete(f"{PATH}/{voice_ids[0]}")
    speaking.clock.advance(60)
    sweep.run(speaking.wired)
    assert speaking.table.usage("acme").bytes_stored == len(SAMPLE)


def test_a_purge_takes_voices_too(speaking: System) -> None:
    created(speaking)
    purge_tenant("acme", store=speaking.store, table=speaking.table, clock=speaking.clock)
    assert speaking.store.list_keys("voices/") == []


def test_the_record_has_the_sample_by_its_digest_and_nobody_by_name(
    speaking: System, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    voice_id = created(speaking)
    [event] = [record for record in caplog.records if record.message == "voice_created"]
    told = {name: getattr(event, name) for name in ("tenant", "voice_id", "sha256", "consent")}
    assert told == {
        "tenant": "acme",
        "voice_id": voice_id,
        "sha256": hashlib.sha256(SAMPLE).hexdigest(),
        "consent": True,
    }
    assert "Anna" not in str(vars(event))
