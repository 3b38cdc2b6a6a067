"""Transcripts in the format that is asked for."""

import json
from dataclasses import replace

import pytest

from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.domain.files import FileKind
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_contract import work


def transcribed(system: System, **fields: object) -> str:
    """Return the `url` of a transcript."""
    submitted = system.submit(system.upload(), **fields)
    [delivery] = system.queue.receive(max_messages=1, wait_s=0)
    work(system, delivery)
    [item] = system.api.get(f"/api/v1/queue/status/{submitted['batch_id']}").json()["items"]
    return str(item["url"])


@pytest.mark.parametrize(
    ("form", "content_type", "suffix", "body"),
    [
        ("txt", "text/plain; charset=utf-8", ".txt", "Hello.\n"),
        ("srt", "application/x-subrip; charset=utf-8", ".srt", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n"),
        ("vtt", "text/vtt; charset=utf-8", ".vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello.\n"),
    ],
)
def test_a_transcript_comes_as_text_or_subtitles(
    system: System, form: str, content_type: str, suffix: str, body: str
) -> None:
    url = transcribed(system, return_timestamps=True)
    answer = system.api.get(url, params={"format": form})
    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["content-type"] == content_type
    name = url.rpartition("/")[2].removesuffix(".json") + suffix
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_json_is_the_file_as_it_is_stored(system: System) -> None:
    url = transcribed(system, return_timestamps=True)
    plain, asked = system.api.get(url), system.api.get(url, params={"format": "json"})
    assert plain.content == asked.content
    assert "content-disposition" not in plain.headers
    assert asked.headers["content-disposition"].endswith('.json"')


def test_verbose_json_is_in_openais_shape(system: System) -> None:
    answer = system.api.get(transcribed(system, return_timestamps=True), params={"format": "verbose_json"})
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["task"], told["language"], told["text"]) == ("transcribe", "english", "Hello.")
    assert told["words"] == [{"word": "Hello.", "start": 0.0, "end": 0.5}]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_of_a_transcript_without_word_times_are_refused(system: System, form: str) -> None:
    answer = system.api.get(transcribed(system), params={"format": form})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_word_times")
    assert "timestamps" in answer.json()["detail"]


@pytest.mark.parametrize("form", ["json", "txt"])
def test_an_upload_comes_in_no_format(system: System, form: str) -> None:
    answer = system.api.get(f"/api/v1/files/{system.upload()}", params={"format": form})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_transcript")


def test_a_note_on_a_drop_is_no_transcript(system: System) -> None:
    file = system.table.get_file(system.upload())
    assert file is not None
    result = replace(file, kind=FileKind.RESULT, content_type="application/json")
    assert result.is_transcript
    assert not replace(result, object_key="drop/acme/a.wav.receipt.json").is_transcript


def test_an_unknown_format_is_refused(system: System) -> None:
    answer = system.api.get(transcribed(system), params={"format": "pdf"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_an_expired_transcript_is_gone_in_every_format(system: System) -> None:
    url = transcribed(system, return_timestamps=True)
    system.clock.advance(FILE_TTL_S)
    assert system.api.get(url, params={"format": "srt"}).status_code == 410


class TestTooLargeForAnAnswer:
    """As in Lambda, with a bound of a few bytes."""

    @pytest.fixture
    def small(self, system: System) -> System:
        narrow = replace(system.wired, settings=system.wired.settings.model_copy(update={"inline_max_bytes": 50}))
        app.dependency_overrides[services] = lambda: narrow
        return system

    def test_json_leads_to_the_store(self, small: System) -> None:
        presigner = small.wired.presigner
        assert isinstance(presigner, MemoryPresigner)
        url = transcribed(small, return_timestamps=True)
        for params in ({}, {"format": "json"}):
            answer = small.api.get(url, params=params, follow_redirects=False)
            assert answer.status_code == 307
            status, body = presigner.get(answer.headers["location"])
            assert (status, json.loads(body)["text"]) == (200, "Hello.")

    def test_what_fits_is_rendered_and_what_does_not_says_so(self, small: System) -> None:
        url = transcribed(small, return_timestamps=True)
        assert small.api.get(url, params={"format": "txt"}, follow_redirects=False).text == "Hello.\n"
        answer = small.api.get(url, params={"format": "verbose_json"}, follow_redirects=False)
        assert (answer.status_code, answer.json()["code"]) == (422, "rendition_too_large")
