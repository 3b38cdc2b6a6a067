"""OpenAI's own clients, Python's and Node's, unmodified: nothing but a base URL and a key is set."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from asr_queue.local import environment
from tests.e2e.conftest import Stack

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "recordings" / "librivox-0880.flac"
TEXT = "He was not an ill-disposed young man."
_DONE_WITHIN_S = 300

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


class TestNode:
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
