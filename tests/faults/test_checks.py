"""The judge sees what it is there to see: each check, given a history with that fault and no other."""

import io
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_queue.domain.speech import SpeechFormat
from tests.faults import checks
from tests.faults.clients import Poll, Story
from tests.faults.end_state import BatchRows
from tests.faults.plan import Cancel, Client, Saying
from tests.faults.recordings import SHORT, SILENT, Recording
from tests.faults.row_history import Image, Outcomes, RowHistory

RECORDINGS = [Recording(b"", 1.5), Recording(b"", 4.0)]
CLIENT = Client(
    label="l", tenant="anna", begins_s=0, uploads=(0, -1), items=(0, 1), tries=1, pollers=1, poll_every_s=0.1
)
DONE = {"item_id": "a", "status": "done", "url": "/api/v1/files/a.json", "error": None}
ERROR = {"item_id": "b", "status": "error", "url": None, "error": "no audio"}
WAITS = {"item_id": "a", "status": "processing", "url": None, "error": None}


def poll(at_s: float, *items: dict[str, Any], **fields: Any) -> Poll:
    states = [item["status"] for item in items]
    answer = {
        "status": "partial",
        "completed": states.count("done"),
        "failed": states.count("error"),
        "total": len(states),
        "items": deepcopy(list(items)),
        **fields,
    }
    return Poll(at_s, at_s + 0.5, answer)


def story(*polls: Poll) -> Story:
    return Story(
        CLIENT,
        files=["f", "g"],
        submitted={"batch_id": "one", "item_ids": ["a", "b"]},
        polls=list(polls),
        fetched={"a": {json.dumps({"text": "echo of 1.50 s"}).encode()}},
    )


def rows(**changes: Any) -> dict[str, BatchRows]:
    items = [
        {"item_id": "a", "index": 0, "status": "done", "result_key": "results/a.1.json", "finished_at": 60_000},
        {"item_id": "b", "index": 1, "status": "error", "error_code": "audio_undecodable"},
    ]
    items[0] |= changes
    return {"one": BatchRows({"sk": "META"}, items)}


GOOD = story(poll(0, WAITS, ERROR), poll(1, DONE, ERROR), poll(2, DONE, ERROR))


def test_nothing_is_said_against_a_good_run() -> None:
    assert list(checks.answers_agree(GOOD)) == []
    assert list(checks.everything_ended(GOOD, rows(), {}, 6)) == []
    assert list(checks.outcomes_are_right(GOOD, rows(), RECORDINGS, engine="echo")) == []
    assert list(checks.nothing_is_left(rows().values(), {"f": {}}, {"results/a.1.json"}, {}, alive_since_s=59)) == []
    assert list(checks.nothing_is_left(rows().values(), {}, set(), {}, alive_since_s=61)) == [], "it has expired"
    assert list(checks.nothing_outlives_its_time({"x": 5.0}, {"x"}, before_s=4.0)) == []


@pytest.mark.parametrize(
    ("polls", "said"),
    [
        ([poll(0, DONE, ERROR, completed=2)], "counts"),
        ([poll(0, DONE, ERROR, total=3)], "counts"),
        ([poll(0, DONE, ERROR, status="completed")], "has the status"),
        ([poll(0, DONE)], "does not name the items"),
        ([poll(0, {**DONE, "url": None}, ERROR)], "with url"),
        ([poll(0, DONE, ERROR), poll(1, WAITS, ERROR)], "changed"),
        ([poll(0, DONE, ERROR), poll(0.1, {**DONE, "url": "/other"}, ERROR)], "changed"),
    ],
)
def test_an_answer_that_contradicts_itself_or_an_earlier_one_is_seen(polls: list[Poll], said: str) -> None:
    assert any(said in violation for violation in checks.answers_agree(story(*polls)))


def test_an_answer_that_was_under_way_when_an_item_ended_may_be_older() -> None:
    assert list(checks.answers_agree(story(poll(0.4, WAITS, ERROR), poll(0.3, DONE, ERROR)))) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "the table has []"),
        ({**rows(), "two": rows()["one"]}, "the table has"),
        ({"one": BatchRows({"sk": "META", "state": "draft"}, [])}, "the table has []"),
        ({"one": BatchRows({"sk": "META"}, rows()["one"].items[:1])}, "1 items, 2 were submitted"),
        (rows(status="processing"), "is processing at the end"),
        (rows(status="error", error_code="too_many_attempts"), "given up after 5 receives"),
    ],
)
def test_a_batch_that_is_lost_or_doubled_or_never_ends_is_seen(found: dict[str, BatchRows], said: str) -> None:
    [violation, *_] = checks.everything_ended(GOOD, found, {"a": 5}, 6)
    assert said in violation


@pytest.mark.parametrize(
    ("noted", "is_right"),
    [
        ({"finished_at": 7, "completed": 1, "failed": 1}, True),
        ({}, False),
        ({"finished_at": 5, "completed": 1, "failed": 1}, False),
        ({"finished_at": 7, "completed": 2, "failed": 0}, False),
    ],
)
def test_an_end_that_is_not_noted_or_noted_wrong_is_seen(noted: dict[str, int], is_right: bool) -> None:
    items = [dict(item, finished_at=at) for item, at in zip(rows()["one"].items, (5, 7), strict=True)]
    found = list(checks.ends_are_noted({"one": BatchRows({"sk": "META", **noted}, items)}))
    assert (found == []) is is_right
    unfinished = [items[0] | {"status": "processing"}, items[1]]
    assert list(checks.ends_are_noted({"one": BatchRows({"sk": "META"}, unfinished)})) == []


@pytest.mark.parametrize(
    ("found", "fetched", "said"),
    [
        (rows(status="error", error_code="audio_missing"), None, "ended error audio_missing"),
        (rows(), {"a": {b'{"text": "echo of 4.00 s"}'}}, "its recording has 1.50 s"),
        (rows(), {"a": {b'{"text": "echo of 1.50 s"}', b'{"text": "echo of 1.51 s"}'}}, "has 2 results"),
        (rows(), {}, "nobody got its result"),
    ],
)
def test_a_wrong_outcome_is_seen(found: dict[str, BatchRows], fetched: Any, said: str) -> None:
    told = deepcopy(GOOD)
    told.fetched = GOOD.fetched if fetched is None else fetched
    assert any(said in violation for violation in checks.outcomes_are_right(told, found, RECORDINGS, engine="echo"))


def speech(*, item: str = "a", length_s: float = 2.0, form: str = "WAV") -> bytes:
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", 24_000, 1, format=form) as file:
        file.comment = f"Synthetic speech; item {item}"
        file.write(np.full(round(length_s * 24_000), 0.1, np.float32))
    return target.getvalue()


def speaker(*results: bytes, place: int = 0) -> Story:
    told = deepcopy(GOOD)
    sayings = (Saying(text="Thirty signs, which take two s", form=SpeechFormat.WAV), None)
    told.client = replace(CLIENT, uploads=(place, -1), sayings=sayings)
    told.fetched = {"a": set(results)}
    return told


@pytest.mark.parametrize(
    ("results", "changes", "said"),
    [
        ([speech()], {}, None),
        ([speech(item="c")], {}, "calls itself"),
        ([speech(length_s=4.0)], {}, "its text takes 2.00 s"),
        ([speech(form="FLAC")], {}, "was wanted as wav"),
        ([b'{"text": "echo of 2.00 s"}'], {}, "is no audio file"),
        ([speech(), speech(length_s=2.01)], {}, "has 2 results"),
        ([], {}, "nobody got its result"),
        ([speech()], {"text": "Thirty signs"}, "its text is still there"),
        ([], {"status": "error", "error_code": "voice_silent"}, "ended error voice_silent"),
    ],
)
def test_speech_that_is_not_of_its_item_is_seen(results: list[bytes], changes: Any, said: str | None) -> None:
    found = list(checks.outcomes_are_right(speaker(*results), rows(**changes), RECORDINGS, engine="echo"))
    assert found == [] if said is None else any(said in violation for violation in found)


@pytest.mark.parametrize(("place", "code"), [(SILENT, "voice_silent"), (SHORT, "voice_too_short")])
def test_a_sample_that_is_no_voice_must_end_in_its_own_error(place: int, code: str) -> None:
    told = speaker(place=place)
    for found, is_right in [(code, True), ("audio_undecodable", False), ("voice_not_speech", False)]:
        ended = rows(status="error", error_code=found)
        assert (list(checks.outcomes_are_right(told, ended, RECORDINGS, engine="echo")) == []) is is_right
    assert list(checks.outcomes_are_right(told, rows(), RECORDINGS, engine="echo")) != [], "it cannot be done"


def test_what_is_left_over_is_seen() -> None:
    left = list(
        checks.nothing_is_left(
            rows().values(), {"f": {"pinned_by": {"a"}}}, set(), {"transcribe": 1, "dead": 0}, alive_since_s=59
        )
    )
    assert [violation.split()[0] for violation in left] == ["1", "file", "the"]
    assert list(checks.nothing_outlives_its_time({"x": 3.0}, {"x"}, before_s=4.0)) != []
    assert list(checks.nothing_outlives_its_time({}, {"nobody-put-it"}, before_s=4.0)) == []


def image(status: str, attempt: int) -> dict[str, Any]:
    return {"status": {"S": status}, "attempt": {"N": str(attempt)}}


def test_a_final_item_that_is_started_again_is_seen_though_it_ends_the_same_way(tmp_path: Path) -> None:
    history, outcomes = RowHistory(tmp_path), Outcomes()

    def write(number: int, *images: tuple[str, Image]) -> None:
        with (tmp_path / f"journal-{number}").open("a") as journal:
            for place, one in images:
                journal.write(json.dumps(["row", "table", "BATCH#b", place, one]) + "\n")

    write(0, ("META", image("x", 0)), ("ITEM#0", image("queued", 0)), ("ITEM#0", image("processing", 1)))
    write(0, ("ITEM#0", image("done", 1)), ("ITEM#1", image("done", 1)))
    assert list(outcomes.changed(history.news())) == []
    write(0, ("ITEM#1", None), ("ITEM#0", image("done", 1)))
    write(1, ("ITEM#0", image("processing", 2)), ("ITEM#0", image("done", 1)))
    [violation] = outcomes.changed(history.news())
    assert "'processing'" in violation
    assert list(outcomes.changed(history.news())) == []
    history.close()


@pytest.mark.parametrize(("item", "is_right"), [(None, True), (0, True), (1, False)])
def test_an_item_may_be_cancelled_where_its_client_meant_it(item: int | None, is_right: bool) -> None:
    told = story(poll(0, ERROR, ERROR))
    told.fetched = {}
    told.client = replace(CLIENT, cancel=Cancel(after_s=0, item=item))
    found = rows(status="error", error_code="cancelled")
    assert (list(checks.outcomes_are_right(told, found, RECORDINGS, engine="echo")) == []) is is_right
    told.client = CLIENT
    assert list(checks.outcomes_are_right(told, found, RECORDINGS, engine="echo")) != [], "nobody cancelled it"
