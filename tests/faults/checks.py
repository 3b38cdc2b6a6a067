"""What must be true of every run, whatever failed in it. Each check yields what is wrong, in sentences."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.faults.clients import Story
from tests.faults.end_state import BatchRows
from tests.faults.plan import Saying
from tests.faults.recordings import SHORT, SILENT, Recording
from tests.faults.speech import not_said

_FINAL: Final = frozenset({"done", "error"})
_ECHO: Final = re.compile(r"echo of (\d+\.\d\d) s")
_MOST_OFF_S: Final = 0.05
_NO_VOICE: Final = {SILENT: "voice_silent", SHORT: "voice_too_short"}
"""What becomes of an item whose sample is that."""


def answers_agree(story: Story) -> Iterator[str]:
    """Every status answer counts its own items right and names them all; no final item ever looks otherwise again."""
    label = story.client.label
    final: dict[str, tuple[float, dict[str, Any]]] = {}
    for poll in sorted(story.polls, key=lambda poll: poll.ended_s):
        answer = poll.answer
        states = [item["status"] for item in answer["items"]]
        counts = (states.count("done"), states.count("error"), len(states))
        if counts != (answer["completed"], answer["failed"], answer["total"]):
            yield f"{label}: an answer with items {states} counts {answer}"
        if answer["status"] != _status(states):
            yield f"{label}: an answer with items {states} has the status {answer['status']}"
        if story.submitted is not None and [item["item_id"] for item in answer["items"]] != story.submitted["item_ids"]:
            yield f"{label}: an answer does not name the items that were accepted"
        for item in answer["items"]:
            if (item["status"] == "done") != (item["url"] is not None):
                yield f"{label}: item {item['item_id']} is {item['status']} with url {item['url']}"
            known = final.get(item["item_id"])
            if known is None and item["status"] in _FINAL:
                final[item["item_id"]] = (poll.ended_s, item)
            elif known is not None and item != known[1] and (item["status"] in _FINAL or poll.began_s > known[0]):
                yield f"{label}: final item {item['item_id']} changed from {known[1]} to {item}"


def everything_ended(
    story: Story, rows: Mapping[str, BatchRows], receives: Mapping[str, int], max_receives: int
) -> Iterator[str]:
    """An accepted batch is there once, and one that its client was never told of at most once; all items are final.

    Args:
        rows: every batch that anybody tried to create for this client.
        receives: how often a message of each item was received.
        max_receives: how often is too often.
    """
    label = story.client.label
    visible = {batch_id: batch for batch_id, batch in rows.items() if batch.is_visible}
    if story.submitted is not None and set(visible) != {story.submitted["batch_id"]}:
        yield f"{label}: accepted {story.submitted['batch_id']}, the table has {sorted(visible)}"
    if len(visible) > 1:
        yield f"{label}: one Idempotency-Key made {sorted(visible)}"
    for batch_id, batch in visible.items():
        if len(batch.items) != len(story.client.items):
            yield f"{label}: batch {batch_id} has {len(batch.items)} items, {len(story.client.items)} were submitted"
        for item in batch.items:
            item_id = item["item_id"]
            if item["status"] not in _FINAL:
                yield f"{label}: item {item_id} is {item['status']} at the end"
            if item.get("error_code") == "too_many_attempts" and receives.get(item_id, 0) < max_receives:
                yield f"{label}: item {item_id} was given up after {receives.get(item_id, 0)} receives"


def ends_are_noted(rows: Mapping[str, BatchRows]) -> Iterator[str]:
    """A batch whose items have ended is noted as finished, at the end of the last, with what became of them."""
    for batch_id, batch in rows.items():
        states = [item["status"] for item in batch.items]
        if batch.meta is None or not batch.is_visible or not states or not set(states) <= _FINAL:
            continue
        noted = tuple(batch.meta.get(name) for name in ("finished_at", "completed", "failed"))
        ended_at = max(item["finished_at"] for item in batch.items)
        if noted != (ended_at, states.count("done"), states.count("error")):
            yield f"batch {batch_id} ended at {ended_at} with {states}, and is noted as {noted}"


def outcomes_are_right(
    story: Story, rows: Mapping[str, BatchRows], recordings: list[Recording], *, engine: str
) -> Iterator[str]:
    """A recording is done with its own transcript, a text with speech of its own, or was tried too often.

    What is no recording is an error, and so is what is no voice.

    What its client cancelled may have ended by that.
    """
    for batch in rows.values():
        if not batch.is_visible:
            continue
        for item in batch.items:
            index = int(item["index"])
            place, saying = story.client.uploads[story.client.items[index]], story.client.saying(index)
            code = item.get("error_code", "")
            is_right = item["status"] == ("error" if place < 0 else "done") and _is_error_of(place, code)
            cancel = story.client.cancel
            was_cancelled = code == "cancelled" and cancel is not None and cancel.is_meant(index)
            if not is_right and code != "too_many_attempts" and not was_cancelled:
                yield f"{story.client.label}: item {item['item_id']} of {place} ended {item['status']} {code}"
            results = story.fetched.get(item["item_id"], set())
            if len(results) > 1:
                yield f"{story.client.label}: item {item['item_id']} has {len(results)} results"
            if saying is not None:
                yield from _not_said_of(results, saying, item)
            elif engine == "echo" and place >= 0:
                yield from _not_of(results, recordings[place], item["item_id"])
            is_missing = item["item_id"] not in story.expired and not results
            if story.is_finished and item["status"] == "done" and is_missing:
                yield f"{story.client.label}: item {item['item_id']} is done, and nobody got its result"


def nothing_is_left(
    rows: Iterable[BatchRows],
    files: Mapping[str, dict[str, Any]],
    objects: set[str],
    messages: Mapping[str, int],
    *,
    alive_since_s: float,
) -> Iterator[str]:
    """No message waits, no upload is pinned, and every result of an item that ended since then is an object."""
    for queue, count in messages.items():
        if count:
            yield f"{count} messages are left in {queue}"
    for file_id, row in files.items():
        if row.get("pinned_by"):
            yield f"file {file_id} is still pinned by {sorted(row['pinned_by'])}"
    for batch in rows:
        for item in batch.items:
            is_alive = item["status"] == "done" and item["finished_at"] > alive_since_s * 1000
            if is_alive and item["result_key"] not in objects:
                yield f"the result of item {item['item_id']} is not there"


def nothing_outlives_its_time(put_at_s: Mapping[str, float], objects: set[str], *, before_s: float) -> Iterator[str]:
    """No object is there that was put before `before_s`, whoever put it and however that ended."""
    for key in sorted(objects):
        if put_at_s.get(key, before_s) < before_s:
            yield f"object {key} is there {before_s - put_at_s[key]:.0f} s after its end"


def _status(states: list[str]) -> str:
    if all(state == "error" for state in states):
        return "error"
    if "error" in states:
        return "partial"
    if all(state == "done" for state in states):
        return "completed"
    return "queued" if all(state == "queued" for state in states) else "processing"


def _is_error_of(place: int, code: str) -> bool:
    """Whether a code, empty for none, is what an item of that upload ends with."""
    if place >= 0:
        return not code
    return code == _NO_VOICE[place] if place in _NO_VOICE else code.startswith("audio_") and code != "audio_missing"


def _not_said_of(results: set[bytes], saying: Saying, item: Mapping[str, Any]) -> Iterator[str]:
    for result in results:
        yield from not_said(result, saying, item["item_id"])
    if item["status"] == "done" and item.get("text"):
        yield f"item {item['item_id']} is done, and its text is still there"


def _not_of(texts: set[bytes], recording: Recording, item_id: str) -> Iterator[str]:
    for text in texts:
        heard = [float(length) for length in _ECHO.findall(json.loads(text)["text"])]
        if abs(sum(heard) - recording.audio_s) > _MOST_OFF_S:
            yield f"item {item_id} heard {heard}, its recording has {recording.audio_s:.2f} s"
