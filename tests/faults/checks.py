"""What must be true of every run, whatever failed in it. Each check yields what is wrong, in sentences."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.faults.clients import Story
from tests.faults.end_state import BatchRows
from tests.faults.recordings import Recording

_FINAL: Final = frozenset({"done", "error"})
_ECHO: Final = re.compile(r"echo of (\d+\.\d\d) s")
_MOST_OFF_S: Final = 0.05


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
    """A recording is done with its own transcript, or was tried too often; what is no recording is an error.

    What its client cancelled may have ended by that.
    """
    for batch in rows.values():
        if not batch.is_visible:
            continue
        for item in batch.items:
            place = story.client.uploads[story.client.items[int(item["index"])]]
            code = item.get("error_code", "")
            is_right = (
                item["status"] == "error" and code.startswith("audio_") and code != "audio_missing"
                if place < 0
                else item["status"] == "done"
            )
            cancel = story.client.cancel
            was_cancelled = code == "cancelled" and cancel is not None and cancel.is_meant(int(item["index"]))
            if not is_right and code != "too_many_attempts" and not was_cancelled:
                yield f"{story.client.label}: item {item['item_id']} of {place} ended {item['status']} {code}"
            texts = story.fetched.get(item["item_id"], set())
            if len(texts) > 1:
                yield f"{story.client.label}: item {item['item_id']} has {len(texts)} transcripts"
            if engine == "echo" and place >= 0:
                yield from _not_of(texts, recordings[place], item["item_id"])
            is_missing = item["item_id"] not in story.expired and not texts
            if story.is_finished and item["status"] == "done" and is_missing:
                yield f"{story.client.label}: item {item['item_id']} is done, and nobody got its transcript"


def nothing_is_left(
    rows: Iterable[BatchRows],
    files: Mapping[str, dict[str, Any]],
    objects: set[str],
    messages: Mapping[str, int],
    *,
    alive_since_s: float,
) -> Iterator[str]:
    """No message waits, no upload is pinned, and every transcript of an item that ended since then is an object."""
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
                yield f"the transcript of item {item['item_id']} is not there"


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


def _not_of(texts: set[bytes], recording: Recording, item_id: str) -> Iterator[str]:
    for text in texts:
        heard = [float(length) for length in _ECHO.findall(json.loads(text)["text"])]
        if abs(sum(heard) - recording.audio_s) > _MOST_OFF_S:
            yield f"item {item_id} heard {heard}, its recording has {recording.audio_s:.2f} s"
