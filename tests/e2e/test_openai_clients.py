"""OpenAI's own clients, Python's and Node's, unmodified: nothing but a base URL and a key is set."""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch

from asr_queue.local import environment
from tests.e2e.conftest import Stack

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "recordings" / "librivox-0880.flac"
TEXT = "He was not an ill-disposed young man."
_DONE_WITHIN_S = 300
_AN_HOUR = {"anchor": "created_at", "seconds": 3600}
"""A wish that is ignored: a file says itself when it ends."""

Node = Callable[..., Any]


@pytest.fixture
def client(whisper_stack: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{whisper_stack.url}/v1", api_key=whisper_stack.api_key)


@pytest.fixture
def node(node_packages: Path, whisper_stack: Stack) -> Node:
    """Run one of the programs; return what it prints, as JSON."""

    def node(program: str, *arguments: str | Path) -> Any:
        ran = subprocess.run(
            ["node", program, f"{whisper_stack.url}/v1", whisper_stack.api_key, *map(str, arguments)],
            cwd=node_packages,
            env=environment.plain(),
            capture_output=True,
            text=True,
            timeout=_DONE_WITHIN_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return node


def check_words(words: list[dict[str, Any]], text: str) -> None:
    """Words are the text's, their times in order and within the 3 s of the recording."""
    assert [word["word"] for word in words] == text.split()
    times = [time_s for word in words for time_s in (word["start"], word["end"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 3.1


class TestPython:
    def test_a_recording_is_transcribed_with_word_times(self, client: openai.OpenAI) -> None:
        with RECORDING.open("rb") as audio:
            told = client.audio.transcriptions.create(
                file=audio,
                model="whisper-1",
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
                language="en",
            )
        assert (told.text, told.language) == (TEXT, "english")
        assert told.duration == pytest.approx(3.0, abs=0.1)
        assert told.words is not None
        assert told.segments is not None
        check_words([word.model_dump() for word in told.words], TEXT)
        assert " ".join(segment.text for segment in told.segments) == TEXT
        assert [segment.id for segment in told.segments] == list(range(len(told.segments)))
        assert told.usage is not None
        assert told.usage.seconds == 3

    def test_every_format_comes_back(self, client: openai.OpenAI) -> None:
        asked = {"file": RECORDING, "model": "whisper-1"}
        assert client.audio.transcriptions.create(**asked).text == TEXT
        assert client.audio.transcriptions.create(**asked, response_format="json").text == TEXT
        assert client.audio.transcriptions.create(**asked, response_format="text") == f"{TEXT}\n"
        srt = client.audio.transcriptions.create(**asked, response_format="srt")
        assert srt.startswith("1\n00:00:0")
        assert TEXT in srt
        vtt = client.audio.transcriptions.create(**asked, response_format="vtt")
        assert vtt.startswith("WEBVTT\n\n00:00:0")
        verbose = client.audio.transcriptions.create(**asked, response_format="verbose_json")
        assert verbose.words is None
        assert verbose.segments is not None
        assert verbose.segments[0].text == TEXT

    def test_a_prompt_changes_a_spelling(self, client: openai.OpenAI) -> None:
        weasels = RECORDING.with_name("asterisk-en-tt-weasels.flac")
        told = client.audio.transcriptions.create(file=weasels, model="whisper-1", language="en", prompt="eaten")
        assert told.text == "Weasels have eaten our phone system."

    def test_the_engines_that_run_are_its_models(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["whisper-1", "whisper"]
        assert client.models.retrieve("whisper").owned_by == "asr-queue"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-7")

    def test_its_errors_are_those_that_it_knows(self, client: openai.OpenAI, whisper_stack: Stack) -> None:
        with pytest.raises(openai.UnprocessableEntityError) as bad_audio:
            client.audio.transcriptions.create(file=b"no audio", model="whisper-1")
        assert (bad_audio.value.code, bad_audio.value.type) == ("audio_format_unknown", "invalid_request_error")
        with pytest.raises(openai.AuthenticationError) as wrong_key:
            client.with_options(api_key="wrong").audio.transcriptions.create(file=RECORDING, model="whisper-1")
        assert wrong_key.value.code == "unauthorized"
        with pytest.raises(openai.UnprocessableEntityError) as streamed:
            client.audio.transcriptions.create(file=RECORDING, model="whisper-1", stream=True)
        assert streamed.value.param == "stream"
        with pytest.raises(openai.NotFoundError) as elsewhere:
            client.embeddings.create(input="a", model="b")
        assert elsewhere.value.code == "not_found"

    async def _at_once(self, stack: Stack) -> list[str]:
        import anyio

        texts: list[str] = []
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key) as client:

            async def transcribe() -> None:
                texts.append((await client.audio.transcriptions.create(file=RECORDING, model="whisper-1")).text)

            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(transcribe)
        return texts

    def test_the_asynchronous_client_works_as_well(self, whisper_stack: Stack) -> None:
        import anyio

        assert anyio.run(self._at_once, whisper_stack) == [TEXT] * 8

    def test_it_repeats_by_itself_until_the_transcript_is_there(self, up: Callable[..., Any]) -> None:
        """As behind an HTTP API, which gives up before a long transcription is done."""
        with up("--engine", "whisper", ASR_QUEUE_SYNC_WAIT_S="0.2") as stack:
            client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, max_retries=50)
            assert client.audio.transcriptions.create(file=RECORDING, model="whisper-1").text == TEXT
            batches = stack.aws("dynamodb").scan(
                TableName=stack.environment()["ASR_QUEUE_TABLE"],
                FilterExpression="begins_with(pk, :batch) AND sk = :meta",
                ExpressionAttributeValues={":batch": {"S": "BATCH#"}, ":meta": {"S": "META"}},
            )
            assert batches["Count"] == 1, "a repeated request must go on waiting for the same item"


def finished(client: openai.OpenAI, batch: Batch) -> Batch:
    until_s = time.monotonic() + _DONE_WITHIN_S
    while batch.status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < until_s, batch
        time.sleep(0.3)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


class TestPythonBatches:
    def test_twenty_lines_are_run_to_the_end_and_read(self, client: openai.OpenAI) -> None:
        with RECORDING.open("rb") as audio:
            recording = client.files.create(file=audio, purpose="user_data")
        weasels = client.files.create(
            file=RECORDING.with_name("asterisk-en-tt-weasels.flac"), purpose="user_data", expires_after=_AN_HOUR
        )
        bodies: list[dict[str, Any]] = [{"file_id": recording.id} for _ in range(16)]
        bodies[3] |= {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
        bodies[4] |= {"response_format": "srt"}
        bodies.append({"file_id": weasels.id, "language": "en", "prompt": "eaten"})
        bodies.append({"url": f"{client.base_url}files/{weasels.id}/content", "language": "en"})
        carried = base64.b64encode(RECORDING.read_bytes()).decode()
        bodies.append({"file_url": f"data:audio/flac;base64,{carried}"})
        bodies.append({"url": "https://example.com/talk.mp3"})
        lines = [
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/audio/transcriptions",
                "body": {"model": "whisper-1", **body},
            }
            for number, body in enumerate(bodies)
        ]
        data = "\n".join(map(json.dumps, lines)).encode()
        lines_file = client.files.create(file=("lines.jsonl", data), purpose="batch")
        assert next(iter(client.files.list(purpose="batch", limit=1))).id == lines_file.id
        batch = client.batches.create(
            input_file_id=lines_file.id,
            endpoint="/v1/audio/transcriptions",  # type: ignore[arg-type]
            completion_window="24h",
            metadata={"project": "test"},
        )
        assert batch.status == "in_progress"
        assert next(iter(client.batches.list(limit=1))).id == batch.id
        ended = finished(client, batch)
        assert (ended.status, ended.metadata) == ("completed", {"project": "test"})
        assert ended.request_counts is not None
        assert ended.request_counts.model_dump() == {"total": 20, "completed": 19, "failed": 1}
        told = {line["custom_id"]: line["response"] for line in lines_of(client, ended.output_file_id)}
        assert list(told) == [f"line-{number}" for number in range(19)]
        assert {answer["status_code"] for answer in told.values()} == {200}
        for number in (*range(3), *range(5, 16), 18):
            assert told[f"line-{number}"]["body"]["text"] == TEXT
        check_words(told["line-3"]["body"]["words"], TEXT)
        assert told["line-4"]["body"].startswith("1\n00:00:0")
        assert told["line-16"]["body"]["text"] == "Weasels have eaten our phone system."
        assert told["line-17"]["body"]["text"] != told["line-16"]["body"]["text"]
        [refused] = lines_of(client, ended.error_file_id)
        assert (refused["custom_id"], refused["response"]["body"]["error"]["code"]) == ("line-19", "foreign_address")
        output = client.files.retrieve(str(ended.output_file_id))
        assert (output.purpose, output.expires_at) == ("batch_output", ended.expires_at)
        assert client.files.delete(recording.id).deleted
        with pytest.raises(openai.APIStatusError) as gone:
            client.files.retrieve(recording.id)
        assert (gone.value.status_code, gone.value.code) == (410, "file_expired")

    def test_a_batch_can_be_cancelled(self, up: Callable[..., Any]) -> None:
        with up("--engine", "whisper") as stack:
            client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key)
            recording = client.files.create(file=RECORDING, purpose="user_data")
            line = {"method": "POST", "url": "/v1/audio/transcriptions"}
            body = {"model": "whisper-1", "file_id": recording.id}
            lines = [json.dumps(line | {"custom_id": str(n), "body": body}) for n in range(200)]
            lines_file = client.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch")
            batch = client.batches.create(
                input_file_id=lines_file.id,
                endpoint="/v1/audio/transcriptions",  # type: ignore[arg-type]
                completion_window="24h",
            )
            client.batches.cancel(batch.id)
            ended = finished(client, batch)
            assert ended.status == "cancelled"
            assert ended.request_counts is not None
            assert ended.request_counts.completed + ended.request_counts.failed == 200
            errors = lines_of(client, ended.error_file_id)
            assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}


class TestNode:
    def test_twenty_lines_are_run_to_the_end_and_read(self, node: Node) -> None:
        told = node("batch.mjs", RECORDING, 20)
        assert told["batch"]["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
        assert [line["custom_id"] for line in told["output"]] == [f"line-{number}" for number in range(20)]
        assert {line["response"]["body"]["text"] for line in told["output"]} == {TEXT}

    def test_a_recording_is_transcribed_in_every_format(self, node: Node) -> None:
        told = node("transcribe.mjs", RECORDING)
        assert told["json"]["text"] == TEXT
        assert told["text"] == f"{TEXT}\n"
        assert told["srt"].startswith("1\n00:00:0")
        assert told["vtt"].startswith("WEBVTT\n")
        verbose = told["verbose_json"]
        assert (verbose["text"], verbose["language"]) == (TEXT, "english")
        check_words(verbose["words"], TEXT)
        assert verbose["segments"][0]["text"] == TEXT
        assert told["error"]["status"] == 422
        assert told["error"]["code"] == "audio_format_unknown"
