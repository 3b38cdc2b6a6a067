"""What is uploaded: a file on disk, bytes, or an open binary file; opened so that a retry can send it again."""

import asyncio
import io
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TypeAlias

import httpx

from asr_queue.client.errors import SourceError
from asr_queue.client.protocol import displayable

Uploadable: TypeAlias = str | Path | bytes | IO[bytes]
"""A path, the bytes themselves, or an open binary file, which is sent from its beginning."""

_IN_MEMORY_BYTES: Final = 1 << 20
"""A stream that cannot be rewound is kept in memory up to this size, and on disk beyond it."""


@contextmanager
def opened(source: Uploadable, file_name: str | None = None) -> Iterator[tuple[str, IO[bytes]]]:
    """Open a source; yield the name to send and a file that can be rewound. What was opened here is closed again.

    Raises:
        SourceError: it cannot be opened, or is not a regular file.
    """
    if isinstance(source, bytes):
        yield displayable(file_name or "audio"), io.BytesIO(source)
    elif isinstance(source, str | Path):
        path = Path(source)
        with _open_file(path) as file:
            yield displayable(file_name or path.name), file
    else:
        name = displayable(file_name or Path(str(getattr(source, "name", "audio"))).name)
        if source.seekable():
            yield name, source
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as kept:
            shutil.copyfileobj(source, kept)
            kept.seek(0)
            yield name, kept


def _open_file(path: Path) -> IO[bytes]:
    try:
        # A pipe would block the open, and cannot be sent twice.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{displayable(str(path))} is not a file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"cannot read {displayable(str(path))}: {reason}") from error


class ReadInThread(httpx.AsyncByteStream):
    """A request body that is read block by block in a thread, so that a slow disk does not hold up the event loop."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body; read errors of the file become SourceError."""
        blocks = iter(self._body)
        while True:
            try:
                block = await asyncio.to_thread(next, blocks, None)
            except OSError as error:
                raise SourceError(f"cannot read on: {error.strerror or error}") from error
            if block is None:
                return
            yield block
