"""What is uploaded: a file on disk, or bytes; either can be sent again by a retry."""

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from asr_queue.client.errors import SourceError
from asr_queue.client.protocol import displayable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_TOLD_EVERY_BYTES: Final = 256 * 1024

OnSent: TypeAlias = Callable[[int, int], None]
"""Told how many bytes of an upload are on their way, and of how many."""
Uploadable: TypeAlias = str | Path | bytes
"""A path, or the bytes themselves."""


def open_source(source: Uploadable) -> IO[bytes]:
    """Open a source for reading; whoever called closes it.

    Raises:
        SourceError: it cannot be opened, or is not a regular file.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        # A pipe would block the open, and cannot be sent twice.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{displayable(str(path))} is not a file")
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"cannot read {displayable(str(path))}: {reason}") from error


def name_of(source: Uploadable) -> str:
    """Return what the server is told that a source is called: data, never a path."""
    return "audio" if isinstance(source, bytes) else displayable(Path(source).name)


def telling(file: IO[bytes], size_bytes: int, on_sent: OnSent) -> IO[bytes]:
    """Return a view of a file that says how far it has been read, each 256 KiB; closing it leaves the file open."""
    return io.BufferedReader(_Telling(file, size_bytes, on_sent), buffer_size=_TOLD_EVERY_BYTES)


class _Telling(io.RawIOBase):
    def __init__(self, file: IO[bytes], size_bytes: int, on_sent: OnSent) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._on_sent = on_sent

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: "WriteableBuffer") -> int:
        room = memoryview(buffer).cast("B")
        data = self._file.read(len(room))
        room[: len(data)] = data
        self._on_sent(self._file.tell(), self._size_bytes)
        return len(data)
