"""Where the emulator's state is kept between its lives: snapshots, and a journal of what came after each.

    FOLDER/state-7/          the last complete snapshot: a file a service, as ministack writes them,
    FOLDER/state-7/rows      and the tables' rows, as lines of a journal
    FOLDER/journal-7         rows and messages since that snapshot began
    FOLDER/objects/          objects, which ministack itself writes when it gets them

A snapshot begins a new journal, takes the services' state without the rows at that instant, and then writes the rows
in slices between requests. A row that changes meanwhile is in the new journal too, which is read after the snapshot.
It counts once its folder has its final name; until then the one before, with both journals, is the state.

None is taken while a deployment goes on: an interrupted one is then forgotten as a whole, and begins anew.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ministack import app as ministack
from ministack.core import persistence
from ministack.services import dynamodb, eventbridge

from asr_queue.local.journal import Journal, line, recording_messages, recording_rows, replay, row

_LEAST_JOURNAL_BYTES = 8 * 1024 * 1024
"""A journal is worth a snapshot when it is larger than this and than the rows of the last one."""
_SLICE_ROWS = 100
_LOOK_EVERY_S = 0.3
_IN_JOURNAL = frozenset({"dynamodb", "sqs"})
_BY_ITSELF = frozenset({"s3"})


class Snapshots:
    """The state of one folder; there is one at a time in a process, since ministack's state is global."""

    def __init__(self, folder: Path) -> None:
        """Load what the folder has, and write down whatever changes from now on."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("state-*.partial"):
            shutil.rmtree(partial)
        persistence.PERSIST_STATE = True  # for its load_state; its own saving, at a clean end only, stays off
        self._generation = max((_number(path) for path in folder.glob("state-*[0-9]")), default=0)
        self._load()
        newest = max((_number(path) for path in folder.glob("journal-*")), default=self._generation)
        self._journal_number = newest
        self._journal = Journal(self._journal_path(newest))
        self._rows_bytes = 0
        self._other_changed = False
        self._record()

    async def keep(self) -> None:
        """Take a snapshot whenever one is due, for ever.

        Raises:
            OSError: it could not be written.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._other_changed or self._journal.size_bytes > max(_LEAST_JOURNAL_BYTES, self._rows_bytes):
                await self.take()

    async def take(self) -> None:
        """Take a snapshot, unless a deployment goes on; requests go on."""
        if _is_deploying():
            return
        self._other_changed = False
        number = self._journal_number = self._journal_number + 1
        self._journal.close()
        self._journal = Journal(self._journal_path(number))
        partial = self._folder / f"state-{number}.partial"
        partial.mkdir()
        with _rows_aside():
            states = {name: get_state() for name, get_state in ministack._build_persistence_save_dict().items()}
        for name, state in states.items():
            if state is not None:
                (partial / f"{name}.json").write_text(_as_ministack_writes_it(name, state))
                await asyncio.sleep(0)
        self._rows_bytes = await _write_rows(partial / "rows")
        await asyncio.to_thread(_to_disk, partial)
        partial.rename(self._state_path(number))
        before, self._generation = self._generation, number
        self._forget(before)

    def _load(self) -> None:
        state = self._state_path(self._generation)
        persistence.STATE_DIR = str(state)
        ministack._load_persisted_state()
        replay(state / "rows")
        for path in sorted(self._folder.glob("journal-*"), key=_number):
            if _number(path) >= self._generation:
                replay(path)

    def _record(self) -> None:
        handlers = ministack.SERVICE_HANDLERS
        handlers["dynamodb"] = recording_rows(handlers["dynamodb"], lambda: self._journal, self._note_other)
        handlers["sqs"] = recording_messages(handlers["sqs"], lambda: self._journal, self._note_other)
        for name in handlers.keys() - _IN_JOURNAL - _BY_ITSELF:
            handlers[name] = self._noting(handlers[name])

    def _noting(self, handler: Any) -> Any:
        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
            try:
                return await handler(method, path, headers, body, query)
            finally:
                if not _leaves_nothing(headers):
                    self._note_other()

        return handle

    def _note_other(self) -> None:
        self._other_changed = True

    def _state_path(self, number: int) -> Path:
        return self._folder / f"state-{number}"

    def _journal_path(self, number: int) -> Path:
        return self._folder / f"journal-{number}"

    def _forget(self, before: int) -> None:
        """Remove what the snapshot that has just become complete replaces."""
        shutil.rmtree(self._state_path(before), ignore_errors=True)
        for path in self._folder.glob("journal-*"):
            if _number(path) < self._generation:
                path.unlink()


def _leaves_nothing(headers: Mapping[str, str]) -> bool:
    """Say whether a request is an event that nobody is there to take: every finished batch sends one."""
    is_event = headers.get("x-amz-target") == "AWSEvents.PutEvents"
    return is_event and not eventbridge._rules.all_values() and not eventbridge._archives.all_values()


def _is_deploying() -> bool:
    cloudformation = sys.modules.get("ministack.services.cloudformation")
    stacks = cloudformation._stacks.all_values() if cloudformation else ()
    return any(stack["StackStatus"].endswith("_IN_PROGRESS") for stack in stacks)


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _as_ministack_writes_it(service: str, state: Any) -> str:
    """Return what `persistence.save_state` would write; by `dumps`, which is ten times as fast as its `dump`."""
    wrapped = {"__ministack_format__": persistence._state_format_version(service), "payload": state}
    return json.dumps(wrapped, default=persistence._json_default)


@contextmanager
def _rows_aside() -> Iterator[None]:
    """Take the rows out of the tables for a moment: copying them all would hold up every request."""
    with dynamodb._lock:  # keeps ministack's own thread, which removes rows, out
        kept = [(table, table["items"]) for table in dynamodb._tables.all_values()]
        for table, rows in kept:
            table["items"] = type(rows)(rows.default_factory) if hasattr(rows, "default_factory") else {}
        try:
            yield
        finally:
            for table, rows in kept:
                table["items"] = rows


async def _write_rows(path: Path) -> int:
    """Write every row, in slices between requests; return how many bytes that took."""
    keys = (
        (table, hash_key, range_key)
        for _, _, table in [scoped for scoped, _ in dynamodb._tables.all_items()]
        for hash_key in list(dynamodb._tables[table]["items"])
        for range_key in list(dynamodb._tables[table]["items"].get(hash_key, ()))
    )
    size = 0
    with path.open("wb") as file:
        while part := list(islice(keys, _SLICE_ROWS)):
            size += file.write(b"".join(line(row(*key)) for key in part))
            await asyncio.sleep(0)
    return size


def _to_disk(folder: Path) -> None:
    """Have the files survive a power cut, before those that they replace are removed."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
