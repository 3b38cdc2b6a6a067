"""Two tenants, every endpoint, every identifier of the other: 404 throughout.

The endpoints are those that the application describes. One that is added fails here until it has its case below.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.domain.drops import dropped_file_id
from asr_queue.domain.items import Operation
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript
from handlers import s3_submit
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_drops import messages, note, put, store, told
from tests.api.test_functions import Context

SECRET = "what the victim said"
Ids = Mapping[str, str]
Call = Callable[[httpx.Client, str], httpx.Response]
"""Sends one request that names one identifier in the place of any."""


def _submit(client: httpx.Client, name: str) -> httpx.Response:
    items = [{"operation": "transcribe", "ref_audio": name}]
    return client.post("/api/v1/queue/submit", json={"items": items})


def _submit_lines(client: httpx.Client, file_id: str) -> dict[str, Any]:
    """Submit two lines, of which one is refused."""
    head = {"method": "POST", "url": "/v1/audio/transcriptions"}
    lines = [head | {"custom_id": name, "body": {"model": "m", "file_id": name}} for name in (file_id, "nobody")]
    data = "\n".join(map(json.dumps, lines)).encode()
    made = client.post("/v1/files", files={"file": ("lines.jsonl", data)}, data={"purpose": "batch"}).json()
    return dict(client.post("/v1/batches", json=_lines_of(made["id"])).json())


def _lines_of(name: str) -> dict[str, str]:
    return {"input_file_id": name, "endpoint": "/v1/audio/transcriptions", "completion_window": "24h"}


CASES: dict[tuple[str, str], Call | None] = {
    ("POST", "/api/v1/files/upload"): None,
    ("POST", "/api/v1/files/presign"): None,
    ("POST", "/api/v1/files/{file_id}/complete"): lambda client, name: client.post(f"/api/v1/files/{name}/complete"),
    ("DELETE", "/api/v1/files/{name}"): lambda client, name: client.delete(f"/api/v1/files/{name}"),
    ("DELETE", "/api/v1/queue/batches/{batch_id}"): lambda client, name: client.delete(f"/api/v1/queue/batches/{name}"),
    ("GET", "/api/v1/queue/batches"): None,
    ("POST", "/api/v1/queue/batches/{batch_id}/retry"): lambda client, name: client.post(
        f"/api/v1/queue/batches/{name}/retry"
    ),
    ("POST", "/api/v1/queue/batches/{batch_id}/cancel"): lambda client, name: client.post(
        f"/api/v1/queue/batches/{name}/cancel"
    ),
    ("POST", "/api/v1/queue/batches/{batch_id}/items/{item_id}/cancel"): lambda client, name: client.post(
        f"/api/v1/queue/batches/{name}/items/{name}/cancel"
    ),
    ("GET", "/api/v1/queue/batches/{batch_id}/download"): lambda client, name: client.get(
        f"/api/v1/queue/batches/{name}/download"
    ),
    ("GET", "/api/v1/files/{name}"): lambda client, name: client.get(f"/api/v1/files/{name}"),
    ("POST", "/api/v1/queue/submit"): _submit,
    ("GET", "/api/v1/queue/status/{batch_id}"): lambda client, name: client.get(f"/api/v1/queue/status/{name}"),
    ("POST", "/v1/audio/transcriptions"): None,
    ("GET", "/api/v1/queue"): None,
    ("POST", "/v1/files"): None,
    ("GET", "/v1/files"): lambda client, name: client.get("/v1/files", params={"after": name}),
    ("GET", "/v1/files/{file_id}"): lambda client, name: client.get(f"/v1/files/{name}"),
    ("GET", "/v1/files/{file_id}/content"): lambda client, name: client.get(f"/v1/files/{name}/content"),
    ("DELETE", "/v1/files/{file_id}"): lambda client, name: client.delete(f"/v1/files/{name}"),
    ("POST", "/v1/batches"): lambda client, name: client.post("/v1/batches", json=_lines_of(name)),
    ("GET", "/v1/batches"): lambda client, name: client.get("/v1/batches", params={"after": name}),
    ("GET", "/v1/models"): None,
    ("GET", "/v1/models/{model}"): lambda client, name: client.get(f"/v1/models/{name}"),
    ("GET", "/v1/batches/{batch_id}"): lambda client, name: client.get(f"/v1/batches/{name}"),
    ("POST", "/v1/batches/{batch_id}/cancel"): lambda client, name: client.post(f"/v1/batches/{name}/cancel"),
    ("GET", "/api/v1/queue/batches/{batch_id}/delivery"): lambda client, name: client.get(
        f"/api/v1/queue/batches/{name}/delivery"
    ),
    ("POST", "/api/v1/queue/batches/{batch_id}/delivery/replay"): lambda client, name: client.post(
        f"/api/v1/queue/batches/{name}/delivery/replay"
    ),
    ("POST", "/api/v1/voices"): lambda client, name: client.post(
        "/api/v1/voices", json={"name": "v", "ref_audio": name, "consent": True}
    ),
    ("GET", "/api/v1/voices"): None,
    ("GET", "/api/v1/voices/{voice_id}"): lambda client, name: client.get(f"/api/v1/voices/{name}"),
    ("DELETE", "/api/v1/voices/{voice_id}"): lambda client, name: client.delete(f"/api/v1/voices/{name}"),
    ("GET", "/api/v1/webhooks/secret"): None,
    ("POST", "/api/v1/webhooks/secret/rotate"): None,
    ("GET", "/api/v1/health"): None,
}
"""Every endpoint; None where no identifier can be named: nothing of anybody's is to be had there."""
NAMELESS = {
    ("GET", "/api/v1/queue/batches"),
    ("POST", "/api/v1/files/upload"),
    ("POST", "/api/v1/files/presign"),
    ("POST", "/v1/audio/transcriptions"),
    ("GET", "/api/v1/queue"),
    ("POST", "/v1/files"),
    ("GET", "/v1/models"),
    ("GET", "/api/v1/voices"),
    ("GET", "/api/v1/webhooks/secret"),
    ("POST", "/api/v1/webhooks/secret/rotate"),
    ("GET", "/api/v1/health"),
}
OPEN = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/console", "/console/{name}"}
"""What the API is, which is no secret, of the framework; and the console's files, which are the same for everybody."""
KEYLESS = {("GET", "/api/v1/health")}


def endpoints() -> list[tuple[str, str]]:
    """Return what the application serves, as it tells in its OpenAPI document and as it routes."""
    described = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert described == set(_routed(app.routes)), "an endpoint that is served and not described"
    return sorted(described)


def _routed(routes: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, APIRoute) and route.path not in OPEN:
            yield from ((method, route.path) for method in route.methods)
        elif hasattr(route, "original_router"):  # how this FastAPI keeps what was included
            yield from _routed(route.original_router.routes)
        else:
            assert route.path in OPEN, f"{route.path} is served, is none of the API, and was not looked at"


ENDPOINTS = endpoints()


@pytest.fixture
def victim(system: System, monkeypatch: pytest.MonkeyPatch) -> Ids:
    """Give the other tenant one of everything that has an identifier; return them by what they are."""
    settings = system.wired.settings.model_copy(
        update={"voice_engine": "tiny", "voice_clone_queue_url": "http://127.0.0.1/v"}
    )
    queues = {**system.wired.queues, Operation.VOICE_CLONE: MemoryQueue(system.clock)}
    wired = replace(system.wired, settings=settings, queues=queues)
    app.dependency_overrides[services] = lambda: wired
    monkeypatch.setattr(s3_submit, "services", lambda: wired)
    upload = system.stranger.post("/api/v1/files/upload", files={"file": ("a.wav", SECRET.encode())}).json()
    submitted = _submit(system.stranger, upload["file_id"]).json()
    lines = _submit_lines(system.stranger, upload["file_id"])
    for message in messages(system):
        _transcribe(system, message)
    waiting = _submit(system.stranger, upload["file_id"]).json()
    awaited = system.stranger.post("/api/v1/files/presign", json={"size_bytes": 4}).json()
    put(system, "drop/other/audio/en/a.wav", SECRET.encode())
    dropped = note(system, "drop/other/audio/en/a.wav.receipt.json")
    wanted = {"name": SECRET, "ref_audio": upload["file_id"], "said": SECRET, "consent": True}
    voice = system.stranger.post("/api/v1/voices", json=wanted).json()
    return {
        "voice": voice["voice_id"],
        "upload": upload["file_id"],
        "finished batch": submitted["batch_id"],
        "finished item": submitted["item_ids"][0],
        "transcript": f"queue_transcribe_{submitted['item_ids'][0]}.json",
        "waiting batch": waiting["batch_id"],
        "waiting item": waiting["item_ids"][0],
        "awaited upload": awaited["file_id"],
        "batch of a drop": dropped["batch_id"],
        "dropped recording": dropped_file_id("drop/other/audio/en/a.wav"),
        "receipt of a drop": dropped_file_id("drop/other/audio/en/a.wav.receipt.json"),
        "file of lines": lines["input_file_id"],
        "batch of lines": lines["id"],
        "output of lines": f"output-{lines['id']}",
        "errors of lines": f"errors-{lines['id']}",
    }


def _transcribe(system: System, message: ItemMessage) -> None:
    item = claim_item(message, table=system.table, clock=system.clock)
    assert item is not None
    size_bytes = write_result(item, Transcript(text=SECRET, language="English").to_json(), store=system.store)
    outcome = Outcome(item=item, audio_s=1.0, result_bytes=size_bytes)
    record_outcomes([outcome], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S)


def test_every_endpoint_has_a_case() -> None:
    missing = set(ENDPOINTS) - set(CASES)
    assert not missing, f"say in CASES how {missing} name what is somebody's"
    assert {endpoint for endpoint, call in CASES.items() if call is None} == NAMELESS


def test_every_endpoint_that_names_something_in_its_path_is_called_with_it() -> None:
    assert not [endpoint for endpoint in ENDPOINTS if "{" in endpoint[1] and CASES.get(endpoint) is None]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_no_identifier_of_another_tenant_is_known_at_any_endpoint(
    system: System, victim: Ids, endpoint: tuple[str, str]
) -> None:
    call = CASES[endpoint]
    if call is None:
        return
    before = _state(system)
    for what, name in victim.items():
        answer = call(system.api, name)
        assert answer.status_code == 404, f"{what}: {answer.text}"
        assert SECRET not in answer.text
        unknown = call(system.api, _unlike(name))
        assert answer.text.replace(name, "") == unknown.text.replace(_unlike(name), ""), f"{what}: it is told apart"
    assert _state(system) == before


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_every_endpoint_but_health_needs_a_key_before_anything_else(
    system: System, victim: Ids, endpoint: tuple[str, str]
) -> None:
    method, path = endpoint
    for name in victim.values():
        answer = system.anonymous.request(method, re.sub("{.*?}", name, path), content=b"{")
        assert answer.status_code == (200 if endpoint in KEYLESS else 401), answer.text


def test_the_owner_gets_it_all(system: System, victim: Ids) -> None:
    """Or else the 404s above would say nothing."""
    assert SECRET in system.stranger.get("/api/v1/voices").text
    assert SECRET in system.stranger.get(f"/api/v1/voices/{victim['voice']}").text
    for what in ("upload", "voice", "finished item", "transcript", "dropped recording", "receipt of a drop"):
        assert system.stranger.get(f"/api/v1/files/{victim[what]}").status_code == 200, what
    for what in ("finished batch", "waiting batch", "batch of a drop"):
        assert system.stranger.get(f"/api/v1/queue/status/{victim[what]}").status_code == 200, what
    for what in ("upload", "file of lines", "output of lines", "errors of lines"):
        assert system.stranger.get(f"/v1/files/{victim[what]}").status_code == 200, what
        assert system.stranger.get(f"/v1/files/{victim[what]}/content").status_code == 200, what
    assert SECRET in system.stranger.get(f"/v1/files/{victim['output of lines']}/content").text
    assert system.stranger.get(f"/v1/batches/{victim['batch of lines']}").status_code == 200
    assert system.stranger.post(f"/api/v1/files/{victim['awaited upload']}/complete").status_code == 409
    assert _submit(system.stranger, victim["upload"]).status_code == 200


class TestPresigned:
    def test_a_form_takes_nothing_but_the_key_that_was_signed(self, system: System, victim: Ids) -> None:
        presigner = system.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        told_how = system.api.post("/api/v1/files/presign", json={"size_bytes": 4}).json()
        assert told_how["fields"]["key"] == f"uploads/acme/{told_how['file_id']}.presigned"
        theirs = f"uploads/other/{victim['awaited upload']}.presigned"
        assert presigner.post(told_how["url"], told_how["fields"] | {"key": theirs}, b"RIFF") == 403
        assert system.store.head(theirs) is None

    def test_no_link_is_signed_for_a_file_of_another_tenant(self, system: System, victim: Ids) -> None:
        for name in victim.values():
            assert system.api.get(f"/api/v1/files/{name}", follow_redirects=False).status_code == 404

    def test_an_upload_is_complete_for_its_own_tenant_whoever_the_event_names(
        self, system: System, victim: Ids
    ) -> None:
        """An event's key carries a tenant; what counts is the row's."""
        presigner = system.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        told_how = system.stranger.post("/api/v1/files/presign", json={"size_bytes": 4}).json()
        presigner.post(told_how["url"], told_how["fields"], b"RIFF")
        s3_submit.handler(told(f"uploads/acme/{told_how['file_id']}.presigned"), Context())
        assert system.api.get(f"/api/v1/files/{told_how['file_id']}").status_code == 404
        assert system.stranger.get(f"/api/v1/files/{told_how['file_id']}").status_code == 200


class TestDrops:
    def manifest(self, name: str) -> bytes:
        return json.dumps({"items": [{"operation": "transcribe", "ref_audio": name}]}).encode()

    def refused(self, system: System, name: str) -> dict[str, Any]:
        put(system, "drop/acme/m.manifest.json", self.manifest(name))
        assert system.store.head("drop/acme/m.manifest.json.receipt.json") is None
        return note(system, "drop/acme/m.manifest.json.error.json")

    def test_a_manifest_can_name_no_file_of_another_tenant(self, system: System, victim: Ids) -> None:
        for what in ("upload", "awaited upload", "dropped recording", "receipt of a drop", "finished item"):
            problem = self.refused(system, victim[what])
            assert (problem["code"], problem["status"]) == ("file_not_found", 404), what

    @pytest.mark.parametrize(
        "name",
        [
            "../other/audio/en/a.wav",
            "/drop/other/audio/en/a.wav",
            "x/../../other/audio/en/a.wav",
            "./a.wav",
            "..",
            "a//b",
        ],
    )
    def test_a_manifest_can_name_no_object_outside_its_folder(self, system: System, victim: Ids, name: str) -> None:
        assert self.refused(system, name)["code"] == "invalid_request"

    def test_a_name_that_is_another_tenants_key_is_looked_for_below_the_manifest(
        self, system: System, victim: Ids
    ) -> None:
        problem = self.refused(system, "drop/other/audio/en/a.wav")
        assert problem["code"] == "dropped_object_missing"
        assert "drop/acme/drop/other" in problem["detail"]

    def test_what_is_dropped_for_one_tenant_is_unknown_to_the_other(self, system: System, victim: Ids) -> None:
        store(system, "drop/acme/a.wav")
        put(system, "drop/acme/m.manifest.json", self.manifest("a.wav"))
        batch_id = note(system, "drop/acme/m.manifest.json.receipt.json")["batch_id"]
        assert system.api.get(f"/api/v1/queue/status/{batch_id}").status_code == 200
        assert system.stranger.get(f"/api/v1/queue/status/{batch_id}").status_code == 404


def test_an_idempotency_key_of_one_tenant_means_nothing_to_another(system: System) -> None:
    headers = {"Idempotency-Key": "the-same"}
    answers = []
    for client in (system.api, system.stranger):
        file_id = client.post("/api/v1/files/upload", files={"file": b"RIFF"}).json()["file_id"]
        items = [{"operation": "transcribe", "ref_audio": file_id}]
        answers.append(client.post("/api/v1/queue/submit", json={"items": items}, headers=headers))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["batch_id"] != answers[1].json()["batch_id"]
    assert not any("Idempotency-Replayed" in answer.headers for answer in answers)


def _unlike(name: str) -> str:
    """Return a name of the same form that nothing has."""
    first, last = name[:-30], name[-30:]
    swapped = last.translate(str.maketrans("0123456789abcdef", "123456789abcdef0")) if ".json" not in name else ""
    return first + swapped if swapped else name.replace(name[-41:-5], "7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10")


def _state(system: System) -> tuple[list[str], int, int]:
    return system.store.list_keys(""), system.queue.backlog().visible, system.queue.backlog().in_flight
