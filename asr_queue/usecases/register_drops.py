"""Make files of dropped objects: they expire, are pinned and are swept as uploads are."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from asr_queue.domain.drops import dropped_file_id
from asr_queue.domain.files import File, FileKind
from asr_queue.ports import Clock, ItemTable, ObjectStore, StoredObject

_PARALLEL: Final = 16


def register_drop(
    key: str, found: StoredObject, *, tenant: str, table: ItemTable, life_s: int, kind: FileKind = FileKind.UPLOAD
) -> File:
    """Register a dropped object for `life_s` seconds from its put; doing it again changes nothing."""
    file = File(
        file_id=dropped_file_id(key),
        tenant=tenant,
        kind=kind,
        object_key=key,
        size_bytes=found.size_bytes,
        content_type=found.content_type,
        created_at=found.modified_at,
        expires_at=found.modified_at + timedelta(seconds=life_s),
        file_name=key.rpartition("/")[2],
    )
    table.renew_file(file)
    return file


def register_drops(
    keys: Collection[str], *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock, life_s: int
) -> dict[str, File]:
    """Register those of the objects that are there, and return their files by key.

    Events come in any order: an object's own may come after that of the manifest which lists it.
    """
    known = {file.object_key: file for file in table.get_files([dropped_file_id(key) for key in keys]).values()}
    now = clock.now()
    files = {key: file for key, file in known.items() if not file.is_expired(now)}

    def register(key: str) -> File | None:
        found = store.head(key)
        return None if found is None else register_drop(key, found, tenant=tenant, table=table, life_s=life_s)

    unknown = [key for key in keys if key not in files]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        files |= {key: file for key, file in zip(unknown, pool.map(register, unknown), strict=True) if file}
    return files
