"""`/v1/files` and `/v1/batches`: lines of a file on the queue, and the files that they make."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.domain.items import ItemError
from asr_queue.domain.quotas import Limits
from asr_queue.domain.workers import WorkerReport
from asr_queue.errors import RetryableError
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.purge_tenant import purge_tenant
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.messages import ItemMessage
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_contract import work
from tests.api.test_openai_transcriptions import bearer, refused

FILES, BATCHES = "/v1/files", "/v1/batches"
NOBODY = "7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10"


def upload(
    client: httpx.Client, data: bytes = b"RIFF", *, purpose: str = "user_data", name: str = "talk.wav"
) -> dict[str, Any]:
    answer = client.post(FILES, files={"file": (name, data, "audio/wav")}, data={"purpose": purpose})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def line(custom_id: str = "one", **body: Any) -> dict[str, Any]:
    url = "/v1/audio/transcriptions"
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "whisper-1", **body}}


def jsonl(*lines: Any) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)


def create(client: httpx.Client, *lines: Any, **fields: Any) -> httpx.Response:
    file_id = upload(client, jsonl(*lines), purpose="batch", name="lines.jsonl")["id"]
    body = {"input_file_id": file_id, "endpoint": "/v1/audio/transcriptions", "completion_window": "24h", **fields}
    return client.post(BATCHES, json=body)


def created(client: httpx.Client, *lines: Any, **fields: Any) -> dict[str, Any]:
    answer = create(client, *lines, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finish(system: System, errors: Mapping[int, ItemError] | None = None) -> None:
    """Do all that waits."""
    number = 0
    while deliveries := system.queue.receive(max_messages=10, wait_s=0):
        for delivery in deliveries:
            work(system, delivery, (errors or {}).get(number))
            number += 1


def content(client: httpx.Client, file_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"{FILES}/{file_id}/content")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(one) for one in answer.text.splitlines()]


class TestFiles:
    def test_a_file_is_made_looked_at_fetched_and_deleted(self, system: System) -> None:
        made = upload(system.api, b"RIFF123")
        assert (made["object"], made["bytes"], made["filename"], made["purpose"]) == (
            "file",
            7,
            "talk.wav",
            "user_data",
        )
        assert made["expires_at"] - made["created_at"] == FILE_TTL_S
        path = f"{FILES}/{made['id']}"
        assert system.api.get(path).json() == made
        assert system.api.get(f"{path}/content").content == b"RIFF123"
        for _ in range(2):
            assert system.api.delete(path).json() == {"id": made["id"], "object": "file", "deleted": True}
        refused(system.api.get(path), 410, "file_expired")
        refused(system.api.get(f"{path}/content"), 410, "file_expired")

    def test_it_is_the_same_file_by_the_native_calls(self, system: System) -> None:
        made = upload(system.api)
        assert system.api.get(f"/api/v1/files/{made['id']}").content == b"RIFF"
        assert system.api.get(f"{FILES}/{system.upload()}").json()["purpose"] == "user_data"
        assert system.submit(made["id"])["total_items"] == 1

    def test_a_file_expires(self, system: System) -> None:
        path = f"{FILES}/{upload(system.api)['id']}"
        system.clock.advance(FILE_TTL_S)
        refused(system.api.get(path), 410, "file_expired")
        assert system.api.get(FILES).json()["data"] == []

    def test_files_are_listed_page_by_page(self, system: System) -> None:
        ids = []
        for number in range(5):
            ids.append(upload(system.api, purpose="batch" if number % 2 else "user_data")["id"])
            system.clock.advance(1)
        upload(system.stranger)
        system.upload()

        def listed(**query: Any) -> tuple[list[str], bool]:
            told = system.api.get(FILES, params=query).json()
            found = [file["id"] for file in told["data"]]
            assert (told["object"], told["first_id"], told["last_id"]) == ("list", found[0], found[-1])
            return found, told["has_more"]

        assert listed() == (ids[::-1], False)
        assert listed(order="asc") == (ids, False)
        assert listed(purpose="batch") == ([ids[3], ids[1]], False)
        assert listed(limit=2) == ([ids[4], ids[3]], True)
        assert listed(limit=2, after=ids[3]) == ([ids[2], ids[1]], True)
        assert listed(limit=2, after=ids[1]) == ([ids[0]], False)
        assert listed(order="asc", after=ids[3]) == ([ids[4]], False)
        system.api.delete(f"{FILES}/{ids[3]}")
        assert listed(after=ids[3])[0] == ids[2::-1], "a page goes on behind a file that has gone since"
        refused(system.api.get(FILES, params={"after": NOBODY}), 404, "file_not_found")
        refused(system.api.get(FILES, params={"limit": 0}), 422, "invalid_request", param="limit")
        assert system.api.get(FILES, params={"after": ids[0]}).json() == {
            "object": "list",
            "data": [],
            "first_id": None,
            "last_id": None,
            "has_more": False,
        }

    @pytest.mark.parametrize("purpose", [None, "", "fine-tune", "x" * 1000])
    def test_a_purpose_is_needed(self, system: System, purpose: str | None) -> None:
        data = {} if purpose is None else {"purpose": purpose}
        answer = system.api.post(FILES, files={"file": b"RIFF"}, data=data)
        refused(answer, 422, "invalid_request", param="purpose")
        assert system.store.list_keys("") == []

    def test_a_file_that_an_unfinished_line_needs_stays(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        created(system.api, line(file_id=file_id))
        refused(system.api.delete(f"{FILES}/{file_id}"), 409, "file_in_use")

    def test_no_uploaded_page_is_ever_one(self, system: System) -> None:
        answer = system.api.post(
            FILES, files={"file": ("x.html", b"<script>", "text/html")}, data={"purpose": "user_data"}
        )
        fetched = system.api.get(f"{FILES}/{answer.json()['id']}/content")
        assert fetched.headers["content-type"] == "application/octet-stream"
        assert fetched.headers["x-content-type-options"] == "nosniff"


class TestBatches:
    def test_lines_are_done_each_as_it_asks(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        made = created(
            system.api,
            line("json", file_id=file_id),
            line("srt", file_id=file_id, response_format="srt"),
            line("words", file_id=file_id, response_format="verbose_json", timestamp_granularities=["word"]),
            metadata={"project": "a"},
        )
        assert (made["status"], made["request_counts"]) == ("in_progress", {"total": 3, "completed": 0, "failed": 0})
        assert (made["metadata"], made["endpoint"], made["completion_window"]) == (
            {"project": "a"},
            "/v1/audio/transcriptions",
            "24h",
        )
        assert (made["output_file_id"], made["error_file_id"], made["errors"]) == (None, None, None)
        refused(system.api.get(f"{FILES}/output-{made['id']}"), 404, "file_not_found")
        finish(system)
        done = system.api.get(f"{BATCHES}/{made['id']}").json()
        assert (done["status"], done["request_counts"]) == ("completed", {"total": 3, "completed": 3, "failed": 0})
        assert done["error_file_id"] is None
        assert done["completed_at"] == done["finalizing_at"] >= done["created_at"]
        assert done["expires_at"] == done["completed_at"] + FILE_TTL_S
        told = content(system.api, done["output_file_id"])
        assert [one["custom_id"] for one in told] == ["json", "srt", "words"]
        assert all(set(one) == {"id", "custom_id", "response", "error"} and one["error"] is None for one in told)
        assert len({one["id"] for one in told}) == 3
        bodies = [one["response"]["body"] for one in told]
        assert bodies[0] == {"text": "Hello.", "usage": {"type": "duration", "seconds": 2}}
        assert bodies[1].endswith("Hello.\n")
        assert bodies[2]["words"] == [{"word": "Hello.", "start": 0.0, "end": 0.5}]
        described = system.api.get(f"{FILES}/{done['output_file_id']}").json()
        assert described["purpose"] == "batch_output"
        assert described["bytes"] == len(system.api.get(f"{FILES}/{done['output_file_id']}/content").content)
        assert described["expires_at"] == done["expires_at"]

    def test_a_line_tells_the_engine_what_it_asks(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        fields = {"language": "German", "prompt": "Norland", "response_format": "vtt"}
        made = created(system.api, line(file_id=file_id, **fields))
        found = system.table.load_batch(made["id"])
        assert found is not None
        batch, [item] = found
        assert batch.label == "/v1/batches"
        assert (item.language, item.prompt, item.return_timestamps) == ("de", "Norland", True)

    def test_what_fails_stands_in_the_file_of_errors_and_costs_nothing_else(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        made = created(
            system.api,
            line("refused", file_id=NOBODY),
            line("failed", file_id=file_id),
            line("done", file_id=file_id),
            line("foreign", file_url="https://example.com/a.wav"),
        )
        finish(system, {0: ItemError("audio_format_unknown", "This is no audio.")})
        done = system.api.get(f"{BATCHES}/{made['id']}").json()
        assert (done["status"], done["request_counts"]) == ("completed", {"total": 4, "completed": 1, "failed": 3})
        assert [one["custom_id"] for one in content(system.api, done["output_file_id"])] == ["done"]
        told = {one["custom_id"]: one["response"] for one in content(system.api, done["error_file_id"])}
        assert list(told) == ["refused", "failed", "foreign"]
        found = {name: (one["status_code"], one["body"]["error"]["code"]) for name, one in told.items()}
        assert found == {
            "refused": (404, "file_not_found"),
            "failed": (422, "audio_format_unknown"),
            "foreign": (422, "foreign_address"),
        }
        assert told["foreign"]["body"]["error"]["param"] == "file_url"

    def test_every_reason_of_a_line_is_its_own(self, system: System) -> None:
        awaited = system.api.post("/api/v1/files/presign", json={"size_bytes": 4}).json()["file_id"]
        gone = upload(system.api)["id"]
        system.api.delete(f"{FILES}/{gone}")
        theirs = upload(system.stranger)["id"]
        file_id = upload(system.api)["id"]
        reasons = {
            "awaited": ({"file_id": awaited}, "file_not_uploaded"),
            "gone": ({"file_id": gone}, "file_expired"),
            "theirs": ({"file_id": theirs}, "file_not_found"),
            "path": ({"file_id": "../../etc/passwd"}, "file_not_found"),
            "nothing": ({}, "invalid_request"),
            "a number": ({"file_id": 7}, "invalid_request"),
            "an address inside": ({"url": "http://169.254.169.254/latest/meta-data/"}, "foreign_address"),
            "a file": ({"file_url": "file:///etc/passwd"}, "foreign_address"),
            "another host": ({"file_url": f"http://evil.example/v1/files/{file_id}/content"}, "foreign_address"),
            "no scheme": ({"file_url": f"//evil.example/v1/files/{file_id}/content"}, "foreign_address"),
            "half an address": ({"file_url": "http://[::1"}, "file_not_found"),
            "a long one": ({"file_url": "x" * 3000}, "invalid_request"),
            "no base64": ({"file_url": "data:audio/wav;base64,%%%"}, "invalid_request"),
            "no data": ({"file_url": "data:,"}, "invalid_request"),
            "format": ({"file_id": file_id, "response_format": "exe"}, "invalid_request"),
            "language": ({"file_id": file_id, "language": "Klingon"}, "unknown_language"),
            "stream": ({"file_id": file_id, "stream": True}, "invalid_request"),
        }
        lines = [line(name, **body) for name, (body, _) in reasons.items()]
        made = created(system.api, *lines, line("good", file_id=file_id))
        finish(system)
        done = system.api.get(f"{BATCHES}/{made['id']}").json()
        assert done["request_counts"] == {"total": len(reasons) + 1, "completed": 1, "failed": len(reasons)}
        told = content(system.api, done["error_file_id"])
        found = {one["custom_id"]: one["response"]["body"]["error"]["code"] for one in told}
        assert found == {name: code for name, (_, code) in reasons.items()}

    @pytest.mark.parametrize("field", ["file_url", "url", "file", "file_id"])
    def test_a_recording_is_named_in_every_way_that_others_have(self, system: System, field: str) -> None:
        file_id = upload(system.api)["id"]
        names = [
            file_id,
            f"/v1/files/{file_id}/content",
            f"http://testserver/v1/files/{file_id}/content",
            f"http://testserver/api/v1/files/{file_id}",
            f"data:audio/wav;base64,{base64.b64encode(b'RIFF').decode()}",
            "data:audio/wav,RIFF%20",
        ]
        made = created(system.api, *(line(str(n), **{field: name}) for n, name in enumerate(names)))
        found = system.table.load_batch(made["id"])
        assert found is not None
        assert [item.custom_id for item in found[1]] == [str(n) for n in range(len(names))]
        assert [item.upload_id == file_id for item in found[1]] == [True] * 4 + [False] * 2
        assert [system.store.get(item.upload_key) for item in found[1][4:]] == [b"RIFF", b"RIFF "]

    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            ([b"{"], "line 1"),
            ([line("a", file_id=NOBODY), b"[1, 2]"], "line 2"),
            ([{"method": "POST", "url": "/v1/audio/transcriptions", "body": {}}], "custom_id"),
            ([{**line(), "method": "GET"}], "method"),
            ([{**line(), "url": "/v1/chat/completions"}], "url"),
            ([line("twice", file_id="a"), line("twice", file_id="a")], "was there before"),
            ([b"{"] * 7, "and 2 more"),
            ([b" ", b""], "not 0"),
            ([line(str(n), file_id=NOBODY) for n in range(1001)], "not 1001"),
            ([line("only", file_id=NOBODY)], "'only'"),
        ],
        ids=str,
    )
    def test_a_file_that_cannot_be_read_makes_no_batch(self, system: System, lines: Sequence[Any], told: str) -> None:
        message = refused(create(system.api, *lines), 422, "invalid_batch_file", param="input_file_id")
        assert told in message
        assert system.queue.backlog().visible == 0

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"endpoint": "/v1/chat/completions"}, "endpoint"),
            ({"completion_window": "soon"}, "completion_window"),
            ({"metadata": {"a": "x" * 513}}, "metadata.a"),
            ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ],
    )
    def test_a_wrong_field_is_named(self, system: System, fields: dict[str, Any], param: str) -> None:
        answer = create(system.api, line(file_id=upload(system.api)["id"]), **fields)
        refused(answer, 422, "invalid_request", param=param)

    def test_the_input_is_a_file_that_is_there(self, system: System) -> None:
        body = {"endpoint": "/v1/audio/transcriptions", "completion_window": "24h"}
        refused(system.api.post(BATCHES, json={**body, "input_file_id": NOBODY}), 404, "file_not_found")
        theirs = upload(system.stranger, purpose="batch")["id"]
        refused(system.api.post(BATCHES, json={**body, "input_file_id": theirs}), 404, "file_not_found")
        old = upload(system.api, purpose="batch")["id"]
        system.clock.advance(FILE_TTL_S)
        refused(system.api.post(BATCHES, json={**body, "input_file_id": old}), 410, "file_expired")
        refused(system.api.post(BATCHES, content=b"{"), 400, "malformed_json")

    def test_what_is_cancelled_ends_and_what_is_done_stays(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        made = created(system.api, *(line(str(n), file_id=file_id) for n in range(3)))
        [first] = system.queue.receive(max_messages=1, wait_s=0)
        work(system, first)
        for _ in range(2):
            told = system.api.post(f"{BATCHES}/{made['id']}/cancel").json()
            assert told["status"] == "cancelled"
            assert told["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
        assert told["completed_at"] is None
        assert told["cancelling_at"] <= told["cancelled_at"]
        assert len(content(system.api, told["output_file_id"])) == 1
        errors = content(system.api, told["error_file_id"])
        assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}
        assert all(one["response"] is None for one in errors)

    def test_a_batch_expires_with_its_results_and_says_so(self, system: System) -> None:
        made = created(system.api, line(file_id=upload(system.api)["id"]))
        finish(system)
        for swept in (False, True):
            system.clock.advance(FILE_TTL_S)
            if swept:
                wired = system.wired
                for _ in range(2):
                    sweep_expired(
                        store=wired.store,
                        table=wired.table,
                        queues=wired.queues,
                        clock=wired.clock,
                        file_ttl_s=FILE_TTL_S,
                    )
                    system.clock.advance(60)
                assert system.store.list_keys("") == []
            refused(system.api.get(f"{BATCHES}/{made['id']}"), 410, "batch_expired")
            refused(system.api.get(f"{FILES}/output-{made['id']}"), 410, "file_expired")
            refused(system.api.get(f"{FILES}/output-{made['id']}/content"), 410, "file_expired")

    def test_a_transcript_that_went_before_the_others_is_an_error_of_its_line(self, system: System) -> None:
        file_id = upload(system.api)["id"]
        made = created(system.api, line("kept", file_id=file_id), line("deleted", file_id=file_id))
        finish(system)
        found = system.table.load_batch(made["id"])
        assert found is not None
        assert system.api.delete(f"/api/v1/files/{found[1][1].item_id}").status_code == 204
        kept, deleted = content(system.api, f"output-{made['id']}")
        assert kept["response"]["status_code"] == 200
        assert (deleted["response"], deleted["error"]["code"]) == (None, "file_expired")

    def test_what_no_answer_can_carry_is_led_to(self, system: System) -> None:
        """As in Lambda."""
        recording = upload(system.api, b"RIFF" * 100)["id"]
        made = created(system.api, *(line(str(n), file_id=recording) for n in range(40)))
        finish(system)
        whole = system.api.get(f"{FILES}/output-{made['id']}/content").content
        settings = system.wired.settings.model_copy(update={"inline_max_bytes": 300})
        app.dependency_overrides[services] = lambda: replace(system.wired, settings=settings)
        answer = system.api.get(f"{FILES}/output-{made['id']}/content", follow_redirects=False)
        assert answer.status_code == 307
        presigner = system.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        assert presigner.get(answer.headers["location"]) == (200, whole)
        [kept] = [key for key in system.store.list_keys("results/") if "/downloads/" in key]
        assert kept.startswith(f"results/acme/{made['id']}/")
        assert system.api.get(f"{FILES}/{recording}/content", follow_redirects=False).status_code == 307

    def test_deletion_and_purge_take_all_of_it(self, system: System) -> None:
        batches = [created(system.api, line(file_id=upload(system.api)["id"])) for _ in range(2)]
        finish(system)
        assert system.api.delete(f"/api/v1/queue/batches/{batches[0]['id']}").status_code == 204
        refused(system.api.get(f"{BATCHES}/{batches[0]['id']}"), 410, "batch_deleted")
        refused(system.api.get(f"{FILES}/output-{batches[0]['id']}"), 410, "file_expired")
        assert not system.store.list_keys(f"results/acme/{batches[0]['id']}")
        purge_tenant("acme", store=system.store, table=system.table, clock=system.clock)
        assert system.store.list_keys("") == []

    def test_batches_are_listed_page_by_page(self, system: System) -> None:
        ids = []
        for _ in range(5):
            ids.append(created(system.api, line(file_id=upload(system.api)["id"]))["id"])
            system.submit(system.upload())
            system.clock.advance(1)
        created(system.stranger, line(file_id=upload(system.stranger)["id"]))
        finish(system)

        def listed(**query: Any) -> tuple[list[str], bool]:
            told = system.api.get(BATCHES, params=query).json()
            found = [batch["id"] for batch in told["data"]]
            assert (told["object"], told["first_id"], told["last_id"]) == ("list", found[0], found[-1])
            return found, told["has_more"]

        assert listed() == (ids[::-1], False)
        assert listed(limit=2) == ([ids[4], ids[3]], True)
        assert listed(limit=2, after=ids[3]) == ([ids[2], ids[1]], True)
        assert listed(limit=2, after=ids[1]) == ([ids[0]], False)
        system.api.delete(f"/api/v1/queue/batches/{ids[3]}")
        assert listed(after=ids[3])[0] == ids[2::-1], "a page goes on behind a batch that has gone since"
        refused(system.api.get(BATCHES, params={"after": NOBODY}), 404, "batch_not_found")
        refused(system.api.get(BATCHES, params={"limit": 101}), 422, "invalid_request", param="limit")
        system.clock.advance(FILE_TTL_S)
        empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
        assert system.api.get(BATCHES).json() == empty

    def test_batches_of_lines_are_found_behind_hundreds_of_others(self, system: System) -> None:
        made = created(system.api, line(file_id=upload(system.api)["id"]))["id"]
        file_id = system.upload()
        for _ in range(250):
            system.submit(file_id)
        assert [batch["id"] for batch in system.api.get(BATCHES).json()["data"]] == [made]

    def test_a_native_batch_is_none_of_lines(self, system: System) -> None:
        native = system.submit(system.upload())["batch_id"]
        refused(system.api.get(f"{BATCHES}/{native}"), 404, "batch_not_found")
        refused(system.api.post(f"{BATCHES}/{native}/cancel"), 404, "batch_not_found")
        refused(system.api.get(f"{FILES}/output-{native}"), 404, "file_not_found")

    def test_a_file_of_a_batch_goes_with_it(self, system: System) -> None:
        made = created(system.api, line(file_id=upload(system.api)["id"]))
        finish(system)
        refused(system.api.delete(f"{FILES}/output-{made['id']}"), 422, "file_of_a_batch")

    def test_nothing_is_left_of_a_batch_whose_order_cannot_be_kept(
        self, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inside = system.store.put

        def put(key: str, data: bytes, *, content_type: str) -> None:
            if key.endswith("order.json"):
                raise RetryableError("s3_unavailable", "away")
            inside(key, data, content_type=content_type)

        monkeypatch.setattr(system.store, "put", put)
        refused(create(system.api, line(file_id=upload(system.api)["id"])), 503, "s3_unavailable")
        [delivery] = system.queue.receive(max_messages=10, wait_s=0)
        assert claim_item(ItemMessage.parse(delivery.body), table=system.table, clock=system.clock) is None
        assert not system.store.list_keys("results/")

    def test_quotas_hold_here_too(self, system: System) -> None:
        key, _ = create_key(
            tenant="acme", name="limited", table=system.table, clock=system.clock, limits=Limits(items_waiting=2)
        )
        file_id = upload(system.api)["id"]
        with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
            created(client, line("a", file_id=file_id), line("b", file_id=file_id))
            answer = create(client, line("c", file_id=file_id))
        refused(answer, 429, "too_many_items_waiting")
        assert int(answer.headers["retry-after"]) >= 1

    def test_a_bearer_token_is_a_key_here(self, system: System) -> None:
        made = system.anonymous.get(FILES, headers=bearer(system.api))
        assert made.status_code == 200
        refused(system.anonymous.get(FILES), 401, "unauthorized")


class TestModels:
    def test_there_is_the_name_that_always_works_and_the_engines_that_run(self, system: System) -> None:
        def names() -> list[str]:
            return [model["id"] for model in system.api.get("/v1/models").json()["data"]]

        assert names() == ["whisper-1"]
        now = system.clock.now()
        for worker_id, engine in (("a", "whisper"), ("b", "qwen3-asr"), ("c", "whisper")):
            report = WorkerReport(
                worker_id=worker_id, engine=engine, started_at=now, seen_at=now, held_items=0, micro_batch_max=16
            )
            system.wired.registry.report(report)
        assert names() == ["whisper-1", "qwen3-asr", "whisper"]
        told = system.api.get("/v1/models/qwen3-asr").json()
        assert told == {
            "id": "qwen3-asr",
            "object": "model",
            "created": int(now.timestamp()),
            "owned_by": "asr-queue",
        }
        assert system.api.get("/v1/models/whisper-1").status_code == 200
        refused(system.api.get("/v1/models/gpt-7"), 404, "model_not_found")
