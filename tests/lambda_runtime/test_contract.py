"""The HTTP contract, over each way that a request can take to `handlers/api.py`, with the embedded AWS behind it.

`uvicorn`: the app as `asr-queue up` serves it. `runtime`: HTTP API events, AWS's runtime client, what `sam build` made.
`deployed`: the HTTP API endpoint and the function that CloudFormation made of `template.yaml` in the embedded AWS.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.items import ItemError, Operation
from asr_queue.local import embedded, environment
from asr_queue.local.processes import Child
from asr_queue.local.programs import api
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript, TranscriptWord
from tests.e2e.calls import status, submit, upload
from tests.lambda_runtime import http_front
from tests.lambda_runtime.conftest import Deployed
from tests.sam import ROOT

NOBODY = "7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10"
"""An id that nothing has."""
SUBMIT = "/api/v1/queue/submit"
UPLOAD = "/api/v1/files/upload"
MEGABYTE = 1_000_000


@contextmanager
def uvicorn(stack: Deployed, logs: Path) -> Iterator[str]:
    """Serve the app with the settings that the function has."""
    with embedded.listener(0) as listening:
        variables = {**environment.for_clients(stack.emulator.url), **stack.resources.as_settings()}
        child = Child(api(listening, variables), lifeline=stack.emulator.lifeline, logs=logs)
        try:
            yield embedded.url_of(listening)
        finally:
            child.sweep_up()


@pytest.fixture(scope="module", params=["uvicorn", "runtime", "deployed"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def anonymous(
    way: str, stack: Deployed, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of one way, without a key."""
    headers = {}
    if way == "uvicorn":
        serving = uvicorn(stack, tmp_path_factory.mktemp("uvicorn"))
    elif way == "runtime":
        serving = http_front.serving(request.getfixturevalue("functions")("ApiFunction"))
    else:
        serving = nullcontext(stack.emulator.url)
        [deployed] = stack.emulator.client("apigatewayv2").get_apis()["Items"]
        headers = {"Host": f"{deployed['ApiId']}.execute-api.localhost:{stack.emulator.url.rpartition(':')[2]}"}
    with serving as url, httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(anonymous: httpx.Client, stack: Deployed) -> Iterator[httpx.Client]:
    with keyed(anonymous, stack.api_key) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(anonymous: httpx.Client, stack: Deployed) -> Iterator[httpx.Client]:
    with keyed(anonymous, stack.other_key) as client:
        yield client


def keyed(anonymous: httpx.Client, key: str) -> httpx.Client:
    headers = {**anonymous.headers, "X-API-Key": key}
    return httpx.Client(base_url=anonymous.base_url, headers=headers, timeout=30, trust_env=False)


def work(stack: Deployed, count: int, text: str = "Grüße.") -> None:
    """Do what a worker does with the next messages: transcribe all but the last, which is no audio."""
    queue = stack.aws.queues[Operation.TRANSCRIBE]
    deliveries: list[Any] = []
    while len(deliveries) < count:
        deliveries += queue.receive(max_messages=10, wait_s=5)
    for place, delivery in enumerate(deliveries):
        item = claim_item(ItemMessage.parse(delivery.body), table=stack.aws.table, clock=SystemClock())
        assert item is not None
        outcome = Outcome(item=item, audio_s=1.5, error=ItemError("audio_undecodable", "This is no audio."))
        if place < count - 1:
            words = [TranscriptWord(start=0.0, end=0.5, text=text)]
            transcript = Transcript(text=text, language="German", timestamps=words)
            written = write_result(item, transcript.to_json(), store=stack.aws.store)
            outcome = Outcome(item=item, audio_s=1.5, result_bytes=written)
        record_outcomes([outcome], store=stack.aws.store, table=stack.aws.table, clock=SystemClock(), file_ttl_s=1800)
        queue.delete([delivery.receipt_handle])


@pytest.fixture(autouse=True)
def empty_queue(stack: Deployed) -> None:
    queue = stack.aws.queues[Operation.TRANSCRIBE]
    while deliveries := queue.receive(max_messages=10, wait_s=0):
        queue.delete([delivery.receipt_handle for delivery in deliveries])


def refused(answer: httpx.Response, status_code: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem; return it."""
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert (body["code"], body["status"], body["type"]) == (code, status_code, "about:blank")
    return body


def one_item(**fields: object) -> dict[str, object]:
    return {"items": [{"operation": "transcribe", "ref_audio": NOBODY, **fields}]}


def test_upload_submit_poll_fetch(client: httpx.Client, stack: Deployed) -> None:
    file_id = upload(client, b"RIFF", "Gespräch 1.wav")
    batch_id = submit(client, [file_id] * 3, return_timestamps=True, custom_id="chunk_001", text="")
    first = status(client, batch_id)
    assert (first["label"], first["status"], first["total"]) == ("test", "queued", 3)
    assert all(item["custom_id"] == "chunk_001" and item["url"] is None for item in first["items"])
    work(stack, 3)
    last = status(client, batch_id)
    assert (last["status"], last["completed"], last["failed"]) == ("partial", 2, 1)
    [failed] = [item for item in last["items"] if item["status"] == "error"]
    assert (failed["error"], failed["url"]) == ("This is no audio.", None)
    for item in last["items"]:
        if item is not failed:
            fetched = client.get(item["url"])
            assert fetched.headers["content-type"] == "application/json"
            assert fetched.json() == {
                "text": "Grüße.",
                "language": "German",
                "language_probability": None,
                "timestamps": [{"start": 0.0, "end": 0.5, "text": "Grüße."}],
            }


def test_health_needs_no_key(anonymous: httpx.Client) -> None:
    assert anonymous.get("/api/v1/health").json() == {"status": "ok"}


@pytest.mark.parametrize("name", ["", "/main.js", "/style.css", "/icon.svg"])
def test_the_console_comes_as_it_lies_in_its_folder(anonymous: httpx.Client, name: str) -> None:
    answer = anonymous.get(f"/console{name}")
    assert answer.content == (ROOT / "handlers" / "console" / (name.strip("/") or "index.html")).read_bytes()
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    again = anonymous.get(f"/console{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_bytes_come_back_as_they_were_sent(client: httpx.Client) -> None:
    data = bytes(range(256)) * 4000
    fetched = client.get(f"/api/v1/files/{upload(client, data)}")
    assert fetched.content == data
    assert fetched.headers["x-content-type-options"] == "nosniff"


def test_a_thousand_items_are_one_batch(client: httpx.Client, stack: Deployed) -> None:
    batch_id = submit(client, [upload(client, b"RIFF")] * 1000)
    assert status(client, batch_id)["total"] == 1000
    backlog = stack.aws.queues[Operation.TRANSCRIBE].backlog()
    assert backlog.visible == 1000


def test_a_repeated_submit_gets_the_first_ones_answer(client: httpx.Client) -> None:
    body, headers = one_item(ref_audio=upload(client, b"RIFF")), {"Idempotency-Key": str(uuid4())}
    first, second = (client.post(SUBMIT, json=body, headers=headers) for _ in range(2))
    assert first.status_code == second.status_code == 200, first.text
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    refused(client.post(SUBMIT, json=body | {"label": "x"}, headers=headers), 422, "idempotency_key_reused")


def test_four_megabytes_fit_through_a_function(client: httpx.Client) -> None:
    assert upload(client, bytes(4_400_000))


def test_a_file_above_the_functions_limit_goes_past_it_both_ways(client: httpx.Client, way: str) -> None:
    data = bytes(range(256)) * 24_000
    body = {"file_name": "long.wav", "size_bytes": len(data), "content_type": "audio/wav"}
    told = client.post("/api/v1/files/presign", json=body).json()
    refused(client.post(SUBMIT, json=one_item(ref_audio=told["file_id"])), 409, "file_not_uploaded")
    sent = httpx.post(told["url"], data=told["fields"], files={"file": data}, timeout=30, trust_env=False)
    assert sent.status_code == 204, sent.text
    completed = client.post(f"/api/v1/files/{told['file_id']}/complete")
    assert completed.json()["size_bytes"] == len(data)
    assert status(client, submit(client, [told["file_id"]]))["status"] == "queued"
    fetched = client.get(f"/api/v1/files/{told['file_id']}")
    if way == "uvicorn":  # has no such limit
        assert fetched.content == data
        return
    assert fetched.status_code == 307
    assert httpx.get(fetched.headers["location"], timeout=30, trust_env=False).content == data


def test_a_batch_comes_as_one_file_past_the_functions_limit_too(
    client: httpx.Client, stack: Deployed, way: str
) -> None:
    ids = {}
    for text in ("Grüße.", "ü" * 500_000):
        ids[text] = submit(client, [upload(client, b"RIFF")] * 4, return_timestamps=True, custom_id="Gespräch 1")
        work(stack, 4, text)
    zipped = client.get(f"/api/v1/queue/batches/{ids['Grüße.']}/download", params={"format": "srt"})
    assert (zipped.status_code, zipped.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        names = archive.namelist()
        assert archive.read(names[0]).decode().endswith("\nGrüße.\n")
        assert (len(names), names[-1]) == (4, "errors.json")
    large = client.get(f"/api/v1/queue/batches/{ids['ü' * 500_000]}/download", params={"as": "jsonl"})
    if way != "uvicorn":
        assert large.status_code == 307
        large = httpx.get(large.headers["location"], timeout=30, trust_env=False)
    assert large.headers["content-type"].startswith("application/x-ndjson")
    told = [json.loads(line) for line in large.content.splitlines()]
    assert [one["error_code"] for one in told].count(None) == 3
    assert {one["transcript"]["text"] for one in told if one["transcript"]} == {"ü" * 500_000}


def test_a_transcript_comes_in_every_format(client: httpx.Client, stack: Deployed) -> None:
    batch_id = submit(client, [upload(client, b"RIFF")] * 2, return_timestamps=True)
    work(stack, 2)
    [url] = [item["url"] for item in status(client, batch_id)["items"] if item["url"]]
    for form, begin in {
        "json": '{"text"',
        "verbose_json": '{"task"',
        "txt": "Gr",
        "srt": "1\n",
        "vtt": "WEBVTT",
    }.items():
        answer = client.get(url, params={"format": form})
        assert answer.status_code == 200
        assert answer.content.decode().startswith(begin)
        assert "Grüße." in answer.content.decode()
        assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("key", [None, "asrq_wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", UPLOAD), ("POST", SUBMIT), ("GET", "/api/v1/queue/status/x"), ("GET", "/api/v1/files/x")],
)
def test_no_key_and_a_wrong_key(anonymous: httpx.Client, method: str, path: str, key: str | None) -> None:
    headers = {} if key is None else {"X-API-Key": key}
    answer = anonymous.request(method, path, headers=headers)
    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "ApiKey"


def test_another_tenants_things_are_not_there(client: httpx.Client, stranger: httpx.Client) -> None:
    file_id = upload(client, b"RIFF")
    batch_id = submit(client, [file_id])
    refused(stranger.get(f"/api/v1/files/{file_id}"), 404, "file_not_found")
    refused(stranger.get(f"/api/v1/queue/status/{batch_id}"), 404, "batch_not_found")
    refused(stranger.post(SUBMIT, json=one_item(ref_audio=file_id)), 404, "file_not_found")


def test_an_expired_upload_is_gone(client: httpx.Client, stack: Deployed) -> None:
    file_id = upload(client, b"RIFF")
    file = stack.aws.table.get_file(file_id)
    assert file is not None
    stack.aws.table.put_file(replace(file, expires_at=SystemClock().now() - timedelta(seconds=1)))
    refused(client.get(f"/api/v1/files/{file_id}"), 410, "file_expired")
    refused(client.post(SUBMIT, json=one_item(ref_audio=file_id)), 410, "file_expired")


@pytest.mark.parametrize(
    ("body", "status_code", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"{}", 422, "invalid_request"),
        (b'{"items": []}', 422, "invalid_request"),
        (json.dumps({"items": one_item()["items"] * 1001}).encode(), 422, "invalid_request"),
        (json.dumps(one_item()).encode(), 404, "file_not_found"),
        (json.dumps(one_item(operation="translate")).encode(), 422, "unknown_operation"),
        (json.dumps(one_item(operation="voice_clone", text="Hello.")).encode(), 422, "operation_unavailable"),
        (json.dumps(one_item(language="Klingon")).encode(), 422, "unknown_language"),
        (json.dumps(one_item(return_timestamps="yes")).encode(), 422, "invalid_request"),
    ],
)
def test_a_bad_submit_is_refused(client: httpx.Client, body: bytes, status_code: int, code: str) -> None:
    refused(client.post(SUBMIT, content=body), status_code, code)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"file": ("talk.wav", b"")}, "empty_upload"),
        ({"file": ("../../etc/passwd", b"RIFF")}, "invalid_file_name"),
        ({"audio": ("talk.wav", b"RIFF")}, "invalid_request"),
    ],
)
def test_a_bad_upload_is_refused(client: httpx.Client, files: dict[str, Any], code: str) -> None:
    refused(client.post(UPLOAD, files=files), 422, code)


def test_what_is_not_there_is_not_found(client: httpx.Client) -> None:
    refused(client.get(f"/api/v1/files/{NOBODY}"), 404, "file_not_found")
    refused(client.get(f"/api/v1/queue/status/{NOBODY}"), 404, "batch_not_found")
    refused(client.get("/api/v1/nothing"), 404, "not_found")
    refused(client.delete(SUBMIT), 405, "method_not_allowed")


@pytest.mark.parametrize("way", ["runtime"], indirect=True)
def test_what_the_platform_does_not_pass_on(client: httpx.Client) -> None:
    for size_bytes in (5 * MEGABYTE, 11 * MEGABYTE):  # above Lambda's limit in base64; above the HTTP API's
        answer = client.post(UPLOAD, files={"file": ("long.wav", bytes(size_bytes))})
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/json"
