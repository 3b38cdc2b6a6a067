"""Subtitles of 200 real transcripts, as parsers that know nothing of this project read them."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
import srt
import webvtt

from asr_queue.wire.formats import Format, rendered
from asr_queue.wire.subtitles import MAX_LINE_CHARS, MAX_LINES
from asr_queue.wire.transcript import Transcript
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create
from tests.transcripts.real import REAL, recordings, transcribed

STORED = [line.encode() for line in REAL.read_text(encoding="utf-8").splitlines()]
MAX_BYTES = 1 << 20


class Shown(NamedTuple):
    """A cue as a parser read it."""

    start_s: float
    end_s: float
    lines: list[str]


def read_srt(document: str) -> list[Shown]:
    """By `srt`, which refuses what stands between cues."""
    cues = list(srt.parse(document))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert srt.compose(cues, reindex=False).strip() == document.strip(), "nothing was mended"
    return [Shown(cue.start.total_seconds(), cue.end.total_seconds(), cue.content.split("\n")) for cue in cues]


def read_vtt(document: str) -> list[Shown]:
    """By `webvtt-py`."""
    cues = webvtt.from_string(document)
    return [Shown(_seconds(cue.start), _seconds(cue.end), cue.raw_text.split("\n")) for cue in cues]


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


READERS = {Format.SRT: read_srt, Format.VTT: read_vtt}


def check(transcript: Transcript, shown: list[Shown]) -> None:
    assert transcript.duration is not None
    assert transcript.timestamps is not None
    for cue in shown:
        assert 0 <= cue.start_s < cue.end_s <= transcript.duration + 0.001, cue
        assert 1 <= len(cue.lines) <= MAX_LINES, cue
        for line in cue.lines:
            assert len(line) <= MAX_LINE_CHARS or " " not in line, f"{line!r} is long, and no single word"
    assert all(cue.end_s <= following.start_s for cue, following in pairwise(shown))
    said = [word.text for word in transcript.timestamps]
    assert [word for cue in shown for line in cue.lines for word in line.split()] == said == transcript.text.split()


def test_the_transcripts_are_200_real_ones() -> None:
    assert len(STORED) == len(recordings()) == 200
    assert REAL.stat().st_size < MAX_BYTES
    kept = [json.loads(line) for line in STORED]
    assert {one["language"] for one in kept} >= {"English", "Spanish", "French", "Italian", "Russian"}
    assert sum(len(one["timestamps"]) for one in kept) > 3000
    assert max(one["duration"] for one in kept) > 30, "longer than what the engine takes at once"


@pytest.mark.parametrize("form", READERS)
def test_subtitles_are_read_by_others_are_inside_the_audio_and_cut_no_word(form: Format) -> None:
    for line in STORED:
        transcript = Transcript.model_validate_json(line)
        check(transcript, READERS[form](rendered(transcript, form)))


def test_a_word_time_list_is_never_fewer_words_than_the_text() -> None:
    for line in STORED:
        kept = json.loads(line)
        assert len(kept["timestamps"]) >= len(kept["text"].split())
        assert all(0 <= word["confidence"] <= 1 for word in kept["timestamps"])
        assert 0 < kept["language_probability"] <= 1


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[bytes]]:
    """Some of them, made now: one of each kind and language."""
    found = recordings()
    engine = create("whisper", EngineSettings(cache_dir=tmp_path_factory.mktemp("weights"), threads=2))
    engine.load()
    yield transcribed(engine, [found[i] for i in range(0, len(found), 25)])
    engine.unload()


@pytest.mark.parametrize("form", READERS)
def test_what_the_engine_says_today_is_read_as_well(live: list[bytes], form: Format) -> None:
    assert len(live) == 8
    for line in live:
        transcript = Transcript.model_validate_json(line)
        assert transcript.text
        check(transcript, READERS[form](rendered(transcript, form)))
