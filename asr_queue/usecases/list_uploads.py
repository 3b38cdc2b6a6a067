"""A tenant's uploads, page by page: those that were made to be listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asr_queue.domain.files import File, uploads_prefix
from asr_queue.domain.ids import is_id
from asr_queue.domain.listed_files import ListedKey, listed_prefix
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore


@dataclass(frozen=True, slots=True)
class Page:
    """Some of them, in order."""

    files: Sequence[File]
    has_more: bool
    """Whether others follow."""


def list_uploads(
    *,
    tenant: str,
    purpose: str | None,
    after: str | None,
    limit: int,
    order: Literal["asc", "desc"],
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
) -> Page:
    """Return files that have not expired, by their age.

    Args:
        purpose: of these alone; None for all.
        after: the file that the page before ended with; it may have expired since.
        limit: at least 1.
        order: `asc` for the oldest first.

    Raises:
        CallerError: `file_not_found`: there is no such `after`, or it is another tenant's.
    """
    keys = [
        key
        for name in store.list_keys(listed_prefix(uploads_prefix(tenant)))
        if (key := ListedKey.of(name)) is not None
    ]
    keys = sorted((key for key in keys if purpose in (None, key.purpose)), reverse=order == "desc")
    if after is not None:
        last = _key_of(after, tenant, table)
        keys = [key for key in keys if (key < last if order == "desc" else key > last)]
    page = keys[:limit]
    known = table.get_files([key.file_id for key in page])
    now = clock.now()
    files = [known[key.file_id] for key in page if key.file_id in known and not known[key.file_id].is_expired(now)]
    return Page(files, has_more=len(keys) > limit)


def _key_of(file_id: str, tenant: str, table: ItemTable) -> ListedKey:
    file = table.get_file(file_id) if is_id(file_id) else None
    key = None if file is None else ListedKey.of(file.object_key)
    if file is None or file.tenant != tenant or key is None:
        raise CallerError("file_not_found", f"There is no file {file_id!r}.", http_status=404)
    return key
