"""The real voice engines on tiny models of random weights, in a whole system whose processes are killed."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from tests.e2e.calls import finished, status, upload
from tests.e2e.conftest import Stack
from tests.engines.pocket import tiny
from tests.engines.qwen3_tts.environment import interpreter, save_tiny

RECORDINGS = Path(__file__).parents[1] / "recordings"
TEXTS = ("Hello.", "Two sentences are one too many. So here are three, are they not? Yes.", "A second voice says this.")
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def qwen3_tts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of the engine `qwen3-tts`, on a tiny model."""
    folder = save_tiny(tmp_path_factory.mktemp("qwen3-tts"))
    return {"ASR_QUEUE_VOICE_MODEL": str(folder), "ASR_QUEUE_VOICE_PYTHON": str(interpreter())}


@pytest.fixture(scope="module")
def pocket_tts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of the engine `pocket-tts`, on a tiny model."""
    return {"ASR_QUEUE_VOICE_MODEL": str(tiny.save(tmp_path_factory.mktemp("pocket-tts")))}


def kill_a_voice_process(stack: Stack) -> bool:
    """Kill the process that a worker's voice engine has of its own, where it has one."""
    for worker in stack.children("gpu_worker"):
        for child in worker.children(recursive=True):
            if "isolated_child" in " ".join(child.cmdline()):
                child.kill()
                return True
    return False


@pytest.mark.parametrize("engine", ["qwen3-tts", "pocket-tts"])
def test_a_real_engine_speaks_whatever_is_killed(
    engine: str, up: Callable[..., AbstractContextManager[Stack]], request: pytest.FixtureRequest
) -> None:
    settings: dict[str, str] = request.getfixturevalue(engine.replace("-", "_"))
    with up("--engine", "echo", "--voice-engine", engine, **settings) as stack, stack.client() as client:
        voices = [
            upload(client, (RECORDINGS / name).read_bytes()) for name in ("librivox-0870.flac", "librivox-0890.flac")
        ]
        silent = io.BytesIO()
        soundfile.write(silent, np.zeros(48_000), 16_000, format="WAV")
        voices.append(upload(client, silent.getvalue()))
        items = [
            {"operation": "voice_clone", "ref_audio": voice, "text": text, "language": "English"}
            for text in TEXTS
            for voice in voices
        ]
        items += [{"operation": "transcribe", "ref_audio": voices[0]} for _ in range(20)]
        answer = client.post("/api/v1/queue/submit", json={"items": items})
        assert answer.status_code == 200, answer.text
        batch_id = answer.json()["batch_id"]
        begun = False
        while not begun:
            begun = any(item["attempt"] for item in status(client, batch_id)["items"][: 3 * len(TEXTS)])
        had_a_process = kill_a_voice_process(stack)
        [worker] = stack.children("gpu_worker")
        worker.kill()
        psutil.wait_procs([worker], timeout=60)
        end = finished(client, batch_id, patience_s=PATIENCE_S)
        assert had_a_process == (engine == "qwen3-tts")
        for number, item in enumerate(end["items"]):
            if number < 3 * len(TEXTS) and number % 3 == 2:
                assert item["error_code"] == "voice_silent"
                continue
            assert item["status"] == "done", item["error"]
            if number < 3 * len(TEXTS):
                sound, rate_hz = soundfile.read(io.BytesIO(client.get(item["url"]).content))
                assert rate_hz == 24_000
                assert item["audio_s"] == pytest.approx(sound.size / rate_hz, abs=0.01)
                assert np.isfinite(sound).all()
