"""Real recordings through the HTTP contract, on a private stack that is gone afterwards.

Only the contract is used from here on: four calls that any HTTP client can make. Run it with `make demo`.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import httpx

from asr_queue.local.up import private_stack

RECORDINGS = Path(__file__).parents[1] / "tests" / "recordings"
LANGUAGES = ("en", "es", "fr", "it", "ru")
PER_LANGUAGE = 3


def chosen() -> list[tuple[Path, str]]:
    """Return a few recordings of each language, with the text that was read."""
    manifest = json.loads((RECORDINGS / "recordings.json").read_text())
    picked: list[tuple[Path, str]] = []
    for language in LANGUAGES:
        entries = [entry for entry in manifest if entry["language"] == language][:PER_LANGUAGE]
        picked += [(RECORDINGS / entry["file"], entry["text"]) for entry in entries]
    return picked


def upload(api: httpx.Client, path: Path) -> str:
    """Step 1: upload one recording; return its file id."""
    answer = api.post("/api/v1/files/upload", files={"file": (path.name, path.read_bytes())})
    answer.raise_for_status()
    return str(answer.json()["file_id"])


def submit(api: httpx.Client, file_ids: list[str]) -> str:
    """Step 2: submit all of them as one batch; return its id."""
    items = [
        {"operation": "transcribe", "ref_audio": file_id, "language": "auto", "return_timestamps": True}
        for file_id in file_ids
    ]
    answer = api.post("/api/v1/queue/submit", json={"label": "demo", "items": items})
    answer.raise_for_status()
    return str(answer.json()["batch_id"])


def poll(api: httpx.Client, batch_id: str) -> list[dict[str, str]]:
    """Step 3: poll until the batch is finished; return its items."""
    while True:
        batch = api.get(f"/api/v1/queue/status/{batch_id}").raise_for_status().json()
        if batch["completed"] + batch["failed"] == batch["total"]:
            return list(batch["items"])
        time.sleep(0.5)


def main() -> int:
    """Run the demo; 0 when every recording was transcribed."""
    picked = chosen()
    print(f"Starting a private stack for {len(picked)} recordings (an embedded AWS, the API, one CPU worker) ...")
    with (
        tempfile.TemporaryDirectory() as folder,
        private_stack(Path(folder)) as (url, api_key),
        httpx.Client(base_url=url, headers={"X-API-Key": api_key}, timeout=60) as api,
    ):
        file_ids = [upload(api, path) for path, _ in picked]
        began = time.monotonic()
        items = poll(api, submit(api, file_ids))
        took_s = time.monotonic() - began
        audio_s = 0.0
        for (path, reference), item in zip(picked, items, strict=True):
            print(f"\n{path.name}")
            print(f"  read  {reference}")
            if item["status"] != "done":
                print(f"  error {item['error']}")
                continue
            transcript = api.get(item["url"]).raise_for_status().json()  # step 4: fetch
            words = transcript["timestamps"]
            audio_s += float(item["audio_s"])
            print(f"  heard {transcript['text']}  [{transcript['language']}]")
            print("  words " + " ".join(f"{word['text']}@{word['start']:.2f}" for word in words))
    failed = sum(item["status"] != "done" for item in items)
    print(f"\n{len(items) - failed} of {len(items)} done: {audio_s:.1f} s of audio in {took_s:.1f} s, ", end="")
    print(f"{audio_s / took_s:.1f} times real time on this machine's CPU.")
    print(
        "\nHow to go on:\n"
        "  .venv/bin/asr-queue transcribe talk.mp3   one file or a folder, nothing else to start\n"
        "  make up                                   the same system, kept running; then follow docs/api.md\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
