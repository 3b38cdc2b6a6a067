"""Every format of a transcript, and what a transcript keeps of itself."""

import json
import math
import time

import pytest

from asr_queue.errors import CallerError
from asr_queue.wire.formats import Format, rendered, verbose
from asr_queue.wire.transcript import Transcript, TranscriptWord

WORDS = [
    TranscriptWord(start=0.0, end=0.25, text="He", confidence=0.5),
    TranscriptWord(start=0.25, end=0.8, text="came.", confidence=1.0),
    TranscriptWord(start=1.0, end=1.1, text="So?", confidence=0.25),
]
SAID = Transcript(text="He came. So?", language="English", duration=2.5, timestamps=WORDS, language_probability=0.9)
UNTIMED = Transcript(text="Grüße.", language="German", duration=2.5)
SILENCE = Transcript(text="", language=None, duration=2.5, timestamps=[], no_speech=True)


def test_json_is_what_is_stored() -> None:
    assert json.loads(rendered(SAID, Format.JSON)) == json.loads(SAID.to_json())
    assert Transcript.model_validate_json(rendered(SAID, Format.JSON)) == SAID


def test_a_word_has_a_confidence_exactly_where_the_engine_gave_one() -> None:
    words = [WORDS[0], TranscriptWord(start=0.3, end=0.4, text="came.")]
    stored = json.loads(SAID.model_copy(update={"timestamps": words}).to_json())
    assert [set(word) for word in stored["timestamps"]] == [
        {"start", "end", "text", "confidence"},
        {"start", "end", "text"},
    ]


def test_a_transcript_of_an_hour_is_written_at_once() -> None:
    words = [TranscriptWord(start=i, end=i + 0.5, text="word") for i in range(10_000)]
    began_s = time.perf_counter()
    assert len(Transcript(text="", language=None, timestamps=words).to_json()) > 300_000
    assert time.perf_counter() - began_s < 5, "once it took time by the square of the words"


def test_the_probability_of_a_language_is_always_said_and_a_duration_once_it_is_known() -> None:
    assert json.loads(Transcript(text="", language=None).to_json()) == {
        "text": "",
        "language": None,
        "language_probability": None,
    }
    assert json.loads(UNTIMED.to_json())["duration"] == 2.5


def test_what_an_earlier_release_stored_is_read() -> None:
    old = b'{"text":"hi","language":"English","timestamps":[{"start":0.0,"end":0.5,"text":"hi"}]}'
    assert rendered(Transcript.model_validate_json(old), Format.VTT).endswith("hi\n")
    assert verbose(Transcript.model_validate_json(old))["duration"] is None


def test_text_is_the_text_alone() -> None:
    assert rendered(SAID, Format.TXT) == "He came. So?\n"
    assert rendered(UNTIMED, Format.TXT) == "Grüße.\n"


def test_verbose_json_is_in_openais_shape() -> None:
    told = json.loads(rendered(SAID, Format.VERBOSE_JSON))
    assert (told["task"], told["language"], told["duration"]) == ("transcribe", "english", 2.5)
    assert told["text"] == "He came. So?"
    assert told["words"][1] == {"word": "came.", "start": 0.25, "end": 0.8}
    first, second = told["segments"]
    assert (first["id"], first["start"], first["end"], first["text"]) == (0, 0.0, 0.8, "He came.")
    assert (second["id"], second["start"], second["end"], second["text"]) == (1, 1.0, 1.1, "So?")


def test_a_segments_numbers_are_those_that_are_known() -> None:
    first, second = verbose(SAID)["segments"]
    assert first["avg_logprob"] == pytest.approx((math.log(0.5) + math.log(1.0)) / 2, abs=0.001)
    assert second["avg_logprob"] == pytest.approx(math.log(0.25), abs=0.001)
    assert 0 < first["compression_ratio"] < 1
    unsure = [word.model_copy(update={"confidence": None}) for word in WORDS]
    for segment in verbose(SAID.model_copy(update={"timestamps": unsure}))["segments"]:
        assert set(segment) == {"id", "start", "end", "text", "compression_ratio"}


def test_a_text_without_word_times_is_one_segment_and_silence_is_none() -> None:
    told = verbose(UNTIMED)
    assert "words" not in told
    assert [(one["start"], one["end"], one["text"]) for one in told["segments"]] == [(0.0, 2.5, "Grüße.")]
    silent = verbose(SILENCE)
    assert (silent["language"], silent["segments"], silent["words"]) == (None, [], [])


@pytest.mark.parametrize("form", [Format.SRT, Format.VTT])
def test_subtitles_need_word_times_and_say_why_there_are_none(form: Format) -> None:
    with pytest.raises(CallerError, match="ask for timestamps") as asked:
        rendered(UNTIMED, form)
    assert asked.value.code == "no_word_times"
    unaligned = UNTIMED.model_copy(update={"timestamps": [], "timestamps_unavailable": "The alignment failed."})
    with pytest.raises(CallerError, match="The alignment failed"):
        rendered(unaligned, form)


def test_subtitles_of_silence_are_empty() -> None:
    assert rendered(SILENCE, Format.SRT) == ""
    assert rendered(SILENCE, Format.VTT) == "WEBVTT\n"
