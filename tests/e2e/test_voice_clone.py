"""Speech in somebody's voice, through a whole system and beside transcripts, while workers are killed."""

import io
import itertools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
import soundfile

from asr_queue.client import Client
from tests.e2e.calls import finished, upload
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
VOICES = ("librivox-0880.flac", "librivox-0880.flac")
PATIENCE_S = 240.0
TEXTS = (
    "Every item ends in exactly one final state.",
    "Doctor Smith paid 3.50 dollars. Then he left, without a word! Did anybody see him? Nobody did.",
    "A long text is cut at its sentences. " * 40,
)
FORMS = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}


def submitted(client: httpx.Client, items: list[dict[str, object]]) -> str:
    answer = client.post("/api/v1/queue/submit", json={"label": "voices", "items": items})
    assert answer.status_code == 200, answer.text
    batch_id: str = answer.json()["batch_id"]
    return batch_id


def kill_workers(stack: Stack, ended: threading.Event, killed: list[int]) -> None:
    while not ended.wait(0.8) and len(killed) < 4:
        for worker in stack.children("gpu_worker")[:1]:
            worker.kill()
            killed.append(worker.pid)


@pytest.mark.parametrize("engine", ["echo"])
def test_nothing_is_lost_of_what_is_said_and_heard_while_workers_are_killed(
    engine: str, up: Callable[..., AbstractContextManager[Stack]]
) -> None:
    samples = [(RECORDINGS / name).read_bytes() for name in VOICES]
    with up("--engine", "echo", "--voice-engine", engine) as stack, stack.client() as client:
        voices = [upload(client, sample) for sample in samples]
        corrupt = upload(client, b"RIFF\x00\x00\x00\x00WAVEnothing")
        items: list[dict[str, object]] = []
        for number, (text, form) in enumerate(itertools.product(TEXTS, FORMS)):
            voice = voices[number % len(voices)]
            said = {"operation": "voice_clone", "ref_audio": voice, "text": text, "format": form, "language": "en"}
            heard = {"operation": "transcribe", "ref_audio": voice, "language": "en"}
            items += [{**said, "custom_id": f"say {number}"}, {**heard, "custom_id": f"hear {number}"}]
        items.append({"operation": "voice_clone", "ref_audio": corrupt, "text": TEXTS[0], "custom_id": "corrupt"})
        ended, killed = threading.Event(), list[int]()
        killing = threading.Thread(target=kill_workers, args=(stack, ended, killed))
        killing.start()
        try:
            batches = [submitted(client, items) for _ in range(3)]
            ends = [finished(client, batch_id, patience_s=PATIENCE_S) for batch_id in batches]
        finally:
            ended.set()
            killing.join()
        assert killed
        for end in ends:
            told = {item["custom_id"]: item for item in end["items"]}
            assert told.pop("corrupt")["error_code"].startswith("audio_")
            assert {item["status"] for item in told.values()} == {"done"}, told
            for number, (text, form) in enumerate(itertools.product(TEXTS, FORMS)):
                assert client.get(told[f"hear {number}"]["url"]).json()["text"].startswith("echo of")
                answer = client.get(told[f"say {number}"]["url"], follow_redirects=True)
                assert told[f"say {number}"]["url"].endswith(f".{form}")
                assert answer.headers["content-type"] == FORMS[form]
                with soundfile.SoundFile(io.BytesIO(answer.content)) as speech:
                    assert (speech.samplerate, speech.channels) == (24_000, 1)
                    assert 5 < len(text) / (speech.frames / speech.samplerate) < 30, "characters a second"
                    assert speech.comment.startswith("Synthetic speech")


def test_the_client_speaks_through_a_whole_system(
    up: Callable[..., AbstractContextManager[Stack]], tmp_path: Path
) -> None:
    with up("--engine", "echo", "--voice-engine", "echo") as stack, Client(stack.url, stack.api_key) as client:
        texts = [*TEXTS, "..."]
        results = {result.text: result for result in client.speak(texts, voice=RECORDINGS / VOICES[0], form="flac")}
        for text in TEXTS:
            with soundfile.SoundFile(results[text].save(tmp_path / "said.flac")) as speech:
                assert 5 < len(text) / (speech.frames / speech.samplerate) < 30, "characters a second"
        assert results["..."].error is not None
        assert results["..."].error.code == "text_empty"


def test_without_an_engine_for_it_nothing_is_said(up: Callable[..., AbstractContextManager[Stack]]) -> None:
    with up("--engine", "echo") as stack, stack.client() as client:
        voice = upload(client, (RECORDINGS / VOICES[0]).read_bytes())
        item = {"operation": "voice_clone", "ref_audio": voice, "text": TEXTS[0]}
        answer = client.post("/api/v1/queue/submit", json={"items": [item]})
    assert answer.status_code == 422
    assert answer.json()["code"] == "operation_unavailable"
    assert "ASR_QUEUE_VOICE_ENGINE" in answer.json()["detail"]
