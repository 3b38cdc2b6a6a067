"""What is uploaded: a file on disk, or bytes; either can be sent again by a retry."""

import io
import stat
from pathlib import Path
from typing import IO, TypeAlias

from asr_queue.client.errors import SourceError
from asr_queue.client.protocol import displayable

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
