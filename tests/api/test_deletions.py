"""Deleting files and batches: who may, what is left, and what a worker or a crash in the middle changes."""

import pytest

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.domain.items import Item
from asr_queue.errors import RetryableError
from asr_queue.usecases.delete_batch import delete_batch
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.transcript import Transcript
from tests.api.conftest import FILE_TTL_S, System


def batch_path(batch_id: object) -> str:
    return f"/api/v1/queue/batches/{batch_id}"


def file_path(name: str) -> str:
    return f"/api/v1/files/{name}"


def started(system: System, batch_id: object, index: int = 0) -> Item:
    item = system.table.claim_item(str(batch_id), index, now=system.clock.now())
    assert item is not None
    return item


def finish(system: System, item: Item) -> bool:
    size_bytes = write_result(item, Transcript(text="secret", language="English").to_json(), store=system.store)
    outcome = Outcome(item=item, audio_s=1.0, result_bytes=size_bytes)
    [counts] = record_outcomes(
        [outcome], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S
    )
    return counts


def sweep(system: System) -> None:
    wired = system.wired
    sweep_expired(store=wired.store, table=wired.table, queues=wired.queues, clock=wired.clock, file_ttl_s=FILE_TTL_S)


class TestFiles:
    def test_a_deleted_file_is_gone_at_once_and_may_be_deleted_again(self, system: System) -> None:
        file_id = system.upload()
        for _ in range(2):
            answer = system.api.delete(file_path(file_id))
            assert (answer.status_code, answer.content) == (204, b"")
        assert system.store.list_keys("") == []
        assert system.api.get(file_path(file_id)).status_code == 410
        answer = system.api.post(
            "/api/v1/queue/submit", json={"items": [{"operation": "transcribe", "ref_audio": file_id}]}
        )
        assert (answer.status_code, answer.json()["code"]) == (410, "file_expired")

    def test_a_transcript_is_deleted_by_the_last_part_of_its_url(self, system: System) -> None:
        batch_id = system.submit(system.upload())["batch_id"]
        assert finish(system, started(system, batch_id))
        url = system.api.get(f"/api/v1/queue/status/{batch_id}").json()["items"][0]["url"]
        assert system.api.delete(url).status_code == 204
        assert system.api.get(url).status_code == 410
        assert system.store.list_keys("results/") == []
        status = system.api.get(f"/api/v1/queue/status/{batch_id}").json()
        assert status["status"] == "completed", "a finished batch never changes"

    def test_an_upload_that_an_unfinished_item_needs_stays(self, system: System) -> None:
        file_id = system.upload()
        batch_id = system.submit(file_id)["batch_id"]
        answer = system.api.delete(file_path(file_id))
        assert (answer.status_code, answer.json()["code"]) == (409, "file_in_use")
        assert system.api.get(file_path(file_id)).status_code == 200
        assert finish(system, started(system, batch_id))
        assert system.api.delete(file_path(file_id)).status_code == 204

    @pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "no-id", "queue_transcribe_.json"])
    def test_what_is_not_there_is_not_found(self, system: System, name: str) -> None:
        assert system.api.delete(file_path(name)).json()["code"] == "file_not_found"

    def test_another_tenants_file_is_not_found_and_stays(self, system: System) -> None:
        file_id = system.upload()
        assert system.stranger.delete(file_path(file_id)).status_code == 404
        assert system.api.get(file_path(file_id)).status_code == 200

    def test_parts_that_have_come_go_with_the_upload(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("asr_queue.usecases.presign_upload.FORM_MAX_BYTES", 4)
        how = system.api.post("/api/v1/files/presign", json={"size_bytes": 9}).json()
        presigner = system.wired.presigner
        assert presigner.put(how["parts"][0]["url"], b"123456789") == 200
        assert system.api.delete(file_path(how["file_id"])).status_code == 204
        with pytest.raises(KeyError):
            presigner.put(how["parts"][0]["url"], b"123456789")
        answer = system.api.post(file_path(how["file_id"]) + "/complete")
        assert (answer.status_code, answer.json()["code"]) == (410, "file_expired")

    def test_bytes_that_come_for_a_deleted_upload_are_swept(self, system: System) -> None:
        how = system.api.post("/api/v1/files/presign", json={"size_bytes": 4, "content_type": "audio/wav"}).json()
        assert system.api.delete(file_path(how["file_id"])).status_code == 204
        sweep(system)
        assert system.wired.presigner.post(how["url"], how["fields"], b"RIFF") == 204
        system.clock.advance(2 * 3600)
        sweep(system)
        assert system.store.list_keys("") == []


class TestBatches:
    def test_a_finished_batch_goes_with_its_transcripts_and_not_with_its_uploads(self, system: System) -> None:
        file_id = system.upload()
        batch_id = system.submit(file_id, file_id)["batch_id"]
        for index in range(2):
            assert finish(system, started(system, batch_id, index))
        urls = [item["url"] for item in system.api.get(f"/api/v1/queue/status/{batch_id}").json()["items"]]
        for _ in range(2):
            answer = system.api.delete(batch_path(batch_id))
            assert (answer.status_code, answer.content) == (204, b"")
        answer = system.api.get(f"/api/v1/queue/status/{batch_id}")
        assert (answer.status_code, answer.json()["code"]) == (410, "batch_deleted")
        assert [system.api.get(url).status_code for url in urls] == [410, 410]
        assert system.store.list_keys("results/") == []
        assert system.api.get(file_path(file_id)).status_code == 200

    def test_what_waits_is_never_started_and_what_a_worker_has_is_finished_for_nothing(self, system: System) -> None:
        file_id = system.upload()
        batch_id = system.submit(file_id, file_id)["batch_id"]
        in_hand = started(system, batch_id, 0)
        assert system.api.delete(batch_path(batch_id)).status_code == 204
        assert system.table.claim_item(str(batch_id), 1, now=system.clock.now()) is None
        assert not finish(system, in_hand)
        assert system.store.list_keys("results/") == [], "the late result is removed by who wrote it"
        assert system.api.get(file_path(in_hand.result_name)).status_code == 404
        assert system.api.delete(file_path(file_id)).status_code == 204, "no item needs it any more"

    def test_what_a_worker_wrote_before_it_died_is_swept_a_files_life_later(self, system: System) -> None:
        batch_id = system.submit(system.upload())["batch_id"]
        in_hand = started(system, batch_id)
        assert system.api.delete(batch_path(batch_id)).status_code == 204
        write_result(in_hand, Transcript(text="late", language=None).to_json(), store=system.store)
        for _ in range(2):
            sweep(system)
            system.clock.advance(FILE_TTL_S + 60)
        assert system.store.list_keys("results/") == []
        sweep(system)
        assert system.table.due_batches(now=system.clock.now(), limit=10) == []

    def test_a_crash_at_any_step_hides_the_batch_or_leaves_it_and_the_sweep_does_the_rest(self, system: System) -> None:
        for calls in range(12):
            file_id = system.upload()
            batch_id = str(system.submit(file_id, file_id, file_id)["batch_id"])
            assert finish(system, started(system, batch_id))
            started(system, batch_id, 1)
            left = calls

            def script(name: str) -> Fault:
                nonlocal left
                left -= 1
                return Fault.NONE if left >= 0 else Fault.BEFORE

            store, table = Faulty(system.store, script), Faulty(system.table, script)
            try:
                delete_batch(batch_id, tenant="acme", store=store, table=table, clock=system.clock)
                is_cut_off = False
            except RetryableError:
                is_cut_off = True
            status = system.api.get(f"/api/v1/queue/status/{batch_id}").status_code
            assert status == (410 if calls > 1 else 200)
            system.clock.advance(1)
            sweep(system)
            if status == 410:
                found = system.table.load_batch(batch_id)
                assert found is not None
                assert found[1] == []
                assert not any(batch_id in key for key in system.store.list_keys("results/"))
                assert system.api.delete(file_path(file_id)).status_code == 204
            if not is_cut_off:
                assert calls > 4
                return
        raise AssertionError("it never ended by itself")

    def test_a_large_batch_goes_too(self, system: System) -> None:
        file_id = system.upload()
        batch_id = system.submit(*[file_id] * 1000)["batch_id"]
        assert finish(system, started(system, batch_id, 999))
        assert system.api.delete(batch_path(batch_id)).status_code == 204
        file = system.table.get_file(file_id)
        assert file is not None
        assert file.pinned_by == frozenset()

    @pytest.mark.parametrize("batch_id", ["00000000-0000-4000-8000-000000000000", "no-id"])
    def test_one_that_is_not_there_is_not_found(self, system: System, batch_id: str) -> None:
        assert system.api.delete(batch_path(batch_id)).json()["code"] == "batch_not_found"

    def test_another_tenants_batch_is_not_found_and_stays(self, system: System) -> None:
        batch_id = system.submit(system.upload())["batch_id"]
        assert system.stranger.delete(batch_path(batch_id)).status_code == 404
        assert system.api.get(f"/api/v1/queue/status/{batch_id}").status_code == 200


@pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
def test_deleting_needs_a_key_where_reading_does_not(system: System) -> None:
    file_id = system.upload()
    batch_id = system.submit(file_id)["batch_id"]
    assert system.anonymous.get(file_path(file_id)).status_code == 200
    for path in (file_path(file_id), batch_path(batch_id)):
        assert system.anonymous.delete(path).status_code == 401
