"""A whole batch as one file: what stands in it, and how it is packed."""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from asr_queue.domain.items import ItemStatus
from asr_queue.wire.formats import Format

ERRORS_NAME: Final = "errors.json"
"""In a zip archive, what became of the items that have no file there."""
_CHUNK_BYTES: Final = 64 * 1024
_MAX_NAME_BYTES: Final = 120
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_FIRST_YEAR: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""Of a zip archive's clock."""


class Archive(StrEnum):
    """What a batch may be packed as."""

    ZIP = "zip"
    """A file an item."""
    JSONL = "jsonl"
    """A line an item."""

    @property
    def media_type(self) -> str:
        """The content type of an archive."""
        return "application/zip" if self is Archive.ZIP else "application/x-ndjson"


class DownloadedItem(BaseModel):
    """One item in a download; its transcript, or why there is none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    item_id: str
    custom_id: str | None = None
    status: ItemStatus
    transcript: dict[str, Any] | str | None = None
    """A document of JSON, or text; None where `error` or `url` is set."""
    url: str | None = None
    """Where the speech of a `voice_clone` is fetched: no line can hold it."""
    error: str | None = None
    """Why there is no result, or none in this format, or none any more; for people."""
    error_code: str | None = None
    """Set exactly where `error` is; stable, for programs."""


class Packed(BaseModel):
    """One item on its way into an archive."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Place in the batch, from 1."""
    item: DownloadedItem
    """Without its transcript."""
    document: str | bytes | None
    """The transcript, rendered, or speech as it is stored; None where the item has an error, or an address instead."""
    suffix: str
    """Of its file in an archive, with its dot."""
    finished_at: datetime


def packed(items: Iterable[Packed], form: Format, archive: Archive) -> Iterator[bytes]:
    """Return an archive in chunks of about 64 KiB as its items come, in their order; one item at a time is held.

    - `zip`: a file an item that has a result, and `errors.json`, a list of `DownloadedItem`, if any has none.
    - `jsonl`: a `DownloadedItem` a line.
    """
    return _zipped(items) if archive is Archive.ZIP else _lines(items, form)


def entry_name(number: int, custom_id: str | None, suffix: str) -> str:
    """Return what an item's file is called in an archive: its number, so that no two are alike, and its `custom_id`.

    Of that, letters and digits of any script, `.`, `-` and `_` stay, 120 bytes at most: nothing that any file system
    takes for a path or refuses.
    """
    safe = _UNSAFE.sub("_", custom_id or "").strip("._-").encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return "_".join(filter(None, (f"{number:04d}", safe))) + suffix


def _lines(items: Iterable[Packed], form: Format) -> Iterator[bytes]:
    sink = _Sink()
    for one in items:
        document = json.loads(one.document) if one.document is not None and form.is_json else one.document
        line = one.item.model_dump(mode="json") | {"transcript": document}
        sink.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        yield from sink.full()
    yield from sink.rest()


def _zipped(items: Iterable[Packed]) -> Iterator[bytes]:
    sink = _Sink()
    failed = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in items:
            if one.document is None:
                failed.append(one.item.model_dump(mode="json", exclude={"transcript", "url"}))
                continue
            at = max(one.finished_at, _FIRST_YEAR).timetuple()[:6]
            entry = zipfile.ZipInfo(entry_name(one.number, one.item.custom_id, one.suffix), at)
            # Speech gets hardly smaller by it.
            entry.compress_type = zipfile.ZIP_STORED if isinstance(one.document, bytes) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, one.document)
            yield from sink.full()
        if failed:
            archive.writestr(ERRORS_NAME, json.dumps(failed, ensure_ascii=False, indent=1) + "\n")
    yield from sink.rest()


class _Sink:
    """What is written and not yet taken; it cannot be sought in, so that `zipfile` writes it from front to back."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: it is taken when there is enough."""

    def close(self) -> None:
        """Do nothing."""

    def full(self) -> Iterator[bytes]:
        if len(self._data) >= _CHUNK_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        data, self._data = bytes(self._data), bytearray()
        if data:
            yield data
