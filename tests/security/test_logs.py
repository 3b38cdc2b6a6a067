"""What real runs write to their logs: nothing that lets anybody in, and nothing of what was said."""

import json
import logging
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.e2e.conftest import Stack, running
from tests.fuzz.hostile import HOSTILE
from tests.pipeline.makers import wav
from tests.pipeline.rig import Rig

PATIENCE_S = 90
AUDIO_S = 3.1875
"""Of which the transcript of the engine `echo` is made, so that no other text says the same."""
PROMPT = "Names-of-a-patients-children"
NAME, LABEL, CUSTOM_ID = "Mrs-Robinsons-diagnosis.wav", "label-of-a-patient", "custom-id-of-a-patient"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole system that logs all that it can, and answers anything of some size with a link."""
    settings = {"ASR_QUEUE_LOG_LEVEL": "DEBUG", "ASR_QUEUE_INLINE_MAX_BYTES": "2000"}
    with running(tmp_path_factory.mktemp("logs"), "--engine", "echo", settings=settings) as stack:
        yield stack


def all_logs(stack: Stack) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted((stack.data / "logs").rglob("*.log")))


def submitted(client: httpx.Client, file_id: str) -> dict[str, object]:
    item = {"operation": "transcribe", "ref_audio": file_id, "custom_id": CUSTOM_ID, "return_timestamps": True}
    items = [item | {"prompt": PROMPT}]
    answer = client.post("/api/v1/queue/submit", json={"label": LABEL, "items": items}).json()
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        status = client.get(f"/api/v1/queue/status/{answer['batch_id']}").json()
        if status["completed"] + status["failed"] == status["total"]:
            return dict(status["items"][0])
        assert time.monotonic() < deadline_s, status
        time.sleep(0.1)


def signed(url: str) -> list[str]:
    """Return the parts of a signed address that let somebody in."""
    return [value for name, value in parse_qsl(urlsplit(url).query) if "ignature" in name or "oken" in name]


def test_a_whole_run_writes_no_secret_to_any_log(stack: Stack) -> None:
    secrets: dict[str, str] = {"API key": stack.api_key, "file name": NAME, "label": LABEL, "custom id": CUSTOM_ID}
    recording = wav(AUDIO_S)
    secrets |= {"audio": recording[2000:2040].decode("latin-1"), "prompt": PROMPT}
    with stack.client() as client:
        file_id = client.post("/api/v1/files/upload", files={"file": (NAME, recording)}).json()["file_id"]
        redirected = client.get(f"/api/v1/files/{file_id}", follow_redirects=False)
        assert redirected.status_code == 307
        assert httpx.get(redirected.headers["location"], trust_env=False).content == recording
        secrets |= {f"link {n}": value for n, value in enumerate(signed(redirected.headers["location"]))}
        item = submitted(client, file_id)
        assert item["status"] == "done"
        text = client.get(str(item["url"])).json()["text"]
        assert len(text) > 5
        secrets["transcript"] = text

        form = {"model": "any", "prompt": PROMPT, "response_format": "text"}
        bearer = {"Authorization": f"Bearer {stack.api_key}"}
        waited = client.post("/v1/audio/transcriptions", files={"file": (NAME, recording)}, data=form, headers=bearer)
        assert waited.text.strip() == text

        told_how = client.post("/api/v1/files/presign", json={"file_name": NAME, "size_bytes": len(recording)}).json()
        put = httpx.post(told_how["url"], data=told_how["fields"], files={"file": recording}, trust_env=False)
        assert put.is_success
        assert client.post(f"/api/v1/files/{told_how['file_id']}/complete").is_success
        secrets |= {f"form's {name}": told_how["fields"][name] for name in ("policy", "x-amz-signature")}

        hostile = HOSTILE["wav: no channels"][0]() + b"hostile-" + CUSTOM_ID.encode()
        damaged = client.post("/api/v1/files/upload", files={"file": (NAME, hostile)}).json()["file_id"]
        assert submitted(client, damaged)["status"] == "error"

        wrong = "asrq_a-wrong-key-that-is-somebodys-password"
        secrets["wrong key"] = wrong
        assert client.get(f"/api/v1/files/{file_id}", headers={"X-API-Key": wrong}).status_code == 401
        assert client.get(f"/api/v1/files/{file_id}?X-API-Key={wrong}").status_code == 307
        assert client.post("/api/v1/queue/submit", content=f'{{"label": "{LABEL}", "items": 7}}').status_code == 422
        assert client.post("/api/v1/queue/submit", content=f"{LABEL} {wrong}").status_code == 400
    assert {"link 0", "transcript", "form's policy"} <= secrets.keys()
    logs = all_logs(stack)
    assert "request_served" in logs
    assert file_id in logs, "what may be told is told, so that this could have found the rest"
    assert "item_" in logs, "the worker's events are there too"
    assert [what for what, secret in secrets.items() if secret in logs] == []
    assert not re.search(r"receipt_?handle\W+\w", logs, re.IGNORECASE)


def test_every_line_of_the_api_and_of_a_worker_is_one_event(stack: Stack) -> None:
    """A line break in what somebody sends makes no second line."""
    with stack.client() as client:
        forged = 'x\r\n{"level": "INFO", "message": "all is well"}'
        client.get("/api/v1/files/x%0D%0A%7B%22forged%22%3A1%7D")
        client.post(
            "/api/v1/queue/submit", json={"label": forged, "items": [{"operation": forged, "ref_audio": forged}]}
        )
        client.get("/api/v1/health", headers={"User-Agent": '{"forged": 1}'})
    logs = [path for path in (stack.data / "logs").glob("*.log") if path.name.startswith(("api", "worker"))]
    lines = [line for path in logs for line in path.read_text().splitlines() if line.startswith("{")]
    assert len(lines) > 3
    events = [json.loads(line) for line in lines]
    assert not [event for event in events if event.get("message") == "all is well" or "forged" in event]


def test_a_worker_tells_no_log_of_its_receipt_handles(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig = Rig()
    handles: set[str] = set()
    receive = rig.queue.receive

    def receiving(**how: int) -> list[object]:
        deliveries = receive(**how)
        handles.update(delivery.receipt_handle for delivery in deliveries)
        return list(deliveries)

    rig.queue.receive = receiving  # type: ignore[assignment]
    batch_id = rig.submit(wav(1.0), b"no audio")
    with rig.worker():
        rig.finished(batch_id)
    assert handles
    told = "\n".join(str(vars(record)) for record in caplog.records)
    assert "item_" in told
    assert not [handle for handle in handles if handle in told]
