"""Delete a file before its time."""

from asr_queue.domain.files import file_id_of
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore


def delete_file(name: str, *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock) -> None:
    """End a file's life now, and remove its bytes; doing it again changes nothing.

    To whoever asks for it, it has expired. Its row comes first: after a crash in between, the sweep removes the bytes.

    Args:
        name: the last part of an item's `url`, or a file id.
        tenant: whose file it must be.

    Raises:
        CallerError: `file_not_found`, for another tenant's too; `file_in_use` while an unfinished item needs it.
    """
    file_id = file_id_of(name)
    file = None if file_id is None else table.get_file(file_id)
    if file is None or file.tenant != tenant:
        raise CallerError("file_not_found", f"There is no file {name!r}.", http_status=404)
    if not table.expire_file(file, now=clock.now()):
        raise CallerError(
            "file_in_use",
            f"File {name!r} is needed by an item that is not finished; delete that batch first, or wait for its end.",
            http_status=409,
        )
    if file.parts_id is not None:
        store.abandon_parts(file.object_key, file.parts_id)
    store.delete([file.object_key])
