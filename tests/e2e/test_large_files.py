"""Uploads past the API, on a whole system."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import numpy as np
import soundfile

from asr_queue.local import environment
from tests.e2e.calls import finished
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
SIZE_BYTES = 60_000_000
PATIENCE_S = 30


def long_recording(path: Path) -> None:
    """Write a recording of 60 MB: real speech, again and again."""
    speech, rate_hz = soundfile.read(next(RECORDINGS.glob("librivox-0880*")), dtype="int16")
    times = SIZE_BYTES // (2 * len(speech)) + 1
    soundfile.write(path, np.tile(speech, times), rate_hz, subtype="PCM_16")
    assert path.stat().st_size > SIZE_BYTES


def routes(stack: Stack) -> set[str]:
    lines = [line for line in (stack.data / "logs" / "api.log").read_text().splitlines() if "request_served" in line]
    return {str(json.loads(line)["route"]) for line in lines}


def test_a_recording_of_60_mb_goes_straight_to_the_store_and_is_transcribed(
    up: Callable[..., AbstractContextManager[Stack]], tmp_path: Path
) -> None:
    long_recording(tmp_path / "long.wav")
    with up("--engine", "echo") as stack:
        command = [sys.executable, "-m", "asr_queue", "transcribe", str(tmp_path / "long.wav"), "--url", stack.url]
        ran = subprocess.run(
            [*command, "--api-key", stack.api_key],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment.plain(),
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip()
        asked = routes(stack)
        assert "/api/v1/files/presign" in asked
        assert "/api/v1/files/upload" not in asked

        # A client that never says it is done: the store's own word is enough.
        with stack.client() as api, httpx.Client(trust_env=False) as store:
            recording = next(RECORDINGS.glob("librivox-0880*")).read_bytes()
            how = api.post(
                "/api/v1/files/presign", json={"size_bytes": len(recording), "content_type": "audio/flac"}
            ).json()
            store.post(how["url"], data=how["fields"], files={"file": recording}).raise_for_status()
            items = {"items": [{"operation": "transcribe", "ref_audio": how["file_id"]}]}
            until_s = time.monotonic() + PATIENCE_S
            while (answer := api.post("/api/v1/queue/submit", json=items)).status_code != 200:
                assert answer.json()["code"] == "file_not_uploaded"
                assert time.monotonic() < until_s
                time.sleep(0.2)
            assert finished(api, answer.json()["batch_id"])["status"] == "completed"
