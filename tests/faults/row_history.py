"""Every image that the rows of the table ever had, in order: the embedded AWS writes them down before it answers.

What pollers see are moments. A final item that is started again and ends the same way a moment later shows here alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

Image: TypeAlias = dict[str, Any] | None
"""A row as DynamoDB has it over the wire; None once it is gone."""


class RowHistory:
    """Follows the journals in an emulator's folder; see `asr_queue/local/journal.py`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._file: BinaryIO | None = None
        self._begun = b""

    def news(self) -> Iterator[tuple[str, str, Image]]:
        """Yield partition key, sort key and image of each write since the last time."""
        while True:
            if self._file is not None:
                yield from self._read(self._file)
            following = [number for number in self._numbers() if number > self._number]
            if not following:
                return
            if self._file is not None:
                # The last of it: nobody writes to a journal once there is a later one. It may be unlinked by now.
                yield from self._read(self._file)
                self._file.close()
            self._number = min(following)
            self._file, self._begun = (self._folder / f"journal-{self._number}").open("rb"), b""

    def close(self) -> None:
        """Let go of the journal."""
        if self._file is not None:
            self._file.close()

    def _numbers(self) -> list[int]:
        return [int(path.name.rpartition("-")[2]) for path in self._folder.glob("journal-*")]

    def _read(self, file: BinaryIO) -> Iterator[tuple[str, str, Image]]:
        *lines, self._begun = (self._begun + file.read()).split(b"\n")
        for line in lines:
            kind, _, *rest = json.loads(line)
            if kind == "row":
                yield tuple(rest)  # type: ignore[misc]


_OUTCOME = ("status", "attempt", "finished_at", "result_key", "error_code")


class Outcomes:
    """What each item ended as, by its rows' history."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def changed(self, writes: Iterator[tuple[str, str, Image]]) -> Iterator[str]:
        """Yield each write that changed how an item had ended."""
        for partition, place, image in writes:
            if not place.startswith("ITEM#"):
                continue
            known = self._known.get((partition, place))
            outcome = {name: image.get(name) for name in _OUTCOME} if image is not None else None
            if known is not None and outcome is not None and outcome != known:
                yield f"item {partition} {place} had ended {known} and became {outcome}"
            if image is None:
                self._known.pop((partition, place), None)
            elif known is None and image["status"]["S"] in ("done", "error"):
                self._known[partition, place] = outcome or {}
