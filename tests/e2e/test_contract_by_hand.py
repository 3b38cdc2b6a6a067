"""The contract with nothing but `requests`; with nothing but `curl` it is typed from docs/api.md (tests/docs)."""

import json
import re
import time
from pathlib import Path

import jiwer
import requests

from tests.e2e.conftest import Stack

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings"


def test_requests_alone_follow_the_contract(whisper_stack: Stack) -> None:
    manifest = json.loads((RECORDINGS / "recordings.json").read_text())
    entries = [entry for entry in manifest if entry["language"] == "en"][:5]
    key = {"X-API-Key": whisper_stack.api_key}
    file_ids = []
    for entry in entries:
        with (RECORDINGS / entry["file"]).open("rb") as audio:
            answer = requests.post(
                f"{whisper_stack.url}/api/v1/files/upload", headers=key, files={"file": audio}, timeout=30
            )
        assert answer.status_code == 200, answer.text
        file_ids.append(answer.json()["file_id"])
    items = [
        {
            "operation": "transcribe",
            "ref_audio": file_id,
            "language": "auto" if place % 2 else "English",
            "return_timestamps": place % 2 == 0,
            "custom_id": f"chunk_{place:03}",
            "text": "",
        }
        for place, file_id in enumerate(file_ids)
    ]
    submitted = requests.post(
        f"{whisper_stack.url}/api/v1/queue/submit", headers=key, json={"label": "five", "items": items}, timeout=30
    ).json()
    assert submitted["total_items"] == 5
    assert submitted["status"] == "queued"

    seen_completed = 0
    while True:
        status = requests.get(
            f"{whisper_stack.url}/api/v1/queue/status/{submitted['batch_id']}", headers=key, timeout=30
        ).json()
        states = [item["status"] for item in status["items"]]
        assert status["completed"] == states.count("done")
        assert status["failed"] == states.count("error")
        assert status["completed"] >= seen_completed
        seen_completed = status["completed"]
        if status["completed"] + status["failed"] == status["total"]:
            break
        time.sleep(0.3)

    assert status["status"] == "completed"
    assert status["label"] == "five"
    assert [item["item_id"] for item in status["items"]] == submitted["item_ids"]
    assert [item["custom_id"] for item in status["items"]] == [item["custom_id"] for item in items]
    heard = []
    for place, item in enumerate(status["items"]):
        assert re.fullmatch(r"/api/v1/files/queue_transcribe_[0-9a-f-]{36}\.json", item["url"])
        fetched = requests.get(whisper_stack.url + item["url"], headers=key, timeout=30)
        assert fetched.headers["content-type"] == "application/json"
        transcript = fetched.json()
        assert transcript["language"] == "English"
        assert ("timestamps" in transcript) == items[place]["return_timestamps"]
        heard.append(transcript["text"])
    plain = jiwer.Compose(
        [jiwer.ToLowerCase(), jiwer.SubstituteRegexes({r"[^\w\s]": " "}), jiwer.RemoveMultipleSpaces(), jiwer.Strip()]
    )
    assert jiwer.wer(plain([entry["text"] for entry in entries]), plain(heard)) < 0.15
