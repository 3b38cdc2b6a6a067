"""Hand a file out."""

import re
from typing import Final

from asr_queue.domain.files import FILE_ID, File
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore

_NAME: Final = re.compile(rf"(?:queue_[a-z_]+_)?({FILE_ID})(?:\.[a-z0-9]+)?")


def fetch_file(
    name: str, *, tenant: str | None, store: ObjectStore, table: ItemTable, clock: Clock
) -> tuple[File, bytes]:
    """Return a file and its bytes.

    Args:
        name: the last part of an item's `url`, or a file id.
        tenant: whose files may be seen; None where the id alone is the right to see it.

    Raises:
        CallerError: `file_not_found`, for another tenant's too; `file_expired` from the first instant on, whether
            or not the bytes are gone.
        RetryableError: the row is there and its bytes are not, as in the instant of an upload.
    """
    matched = _NAME.fullmatch(name)
    file = table.get_file(matched[1]) if matched else None
    if file is None or (file.tenant != tenant if tenant is not None else not file.has_secret_id):
        raise CallerError("file_not_found", f"There is no file {name!r}.", http_status=404)
    data = None if file.is_expired(clock.now()) else store.get(file.object_key)
    # Again: it may have expired, and been removed, while its bytes were read.
    if file.is_expired(clock.now()):
        raise CallerError(
            "file_expired",
            f"File {name!r} expired at {file.expires_at.isoformat()}; uploads and transcripts live for a limited time.",
            http_status=410,
        )
    if data is None:
        raise RetryableError("file_not_stored", f"The bytes of file {name!r} cannot be read right now.")
    return file, data
