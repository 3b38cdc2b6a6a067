"""Take a file in."""

from datetime import timedelta
from uuid import uuid4

from asr_queue.domain.files import File, FileKind, upload_key, uploads_prefix
from asr_queue.domain.listed_files import listed_key
from asr_queue.domain.quotas import refuse_bytes
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore


def accept_upload(
    data: bytes,
    *,
    tenant: str,
    file_name: str,
    content_type: str,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    file_ttl_s: int,
    max_bytes_stored: int | None = None,
    purpose: str | None = None,
) -> File:
    """Store an upload for `file_ttl_s` seconds; its id is new.

    Args:
        data: the bytes; what they hold is the worker's business.
        tenant: whom it belongs to.
        file_name: what the client calls it; kept, never interpreted.
        content_type: what the client says it is; kept, never interpreted.
        max_bytes_stored: what the tenant may have stored; then this counts. None for any number.
        purpose: what it is for; it can then be listed (`domain.listed_files`).

    Raises:
        CallerError: `empty_upload`, `payload_too_large`.
        QuotaError: `too_many_bytes_stored`.
    """
    if not data:
        raise CallerError("empty_upload", f"The uploaded file {file_name!r} has 0 bytes; send one with audio in it.")
    if max_bytes_stored is not None:
        refuse_bytes(len(data), table.usage(tenant), max_bytes_stored)
    file_id = str(uuid4())
    now = clock.now()
    key = upload_key(tenant, file_id)
    if purpose is not None:
        key = listed_key(uploads_prefix(tenant), file_id, created_at=now, purpose=purpose)
    file = File(
        file_id=file_id,
        tenant=tenant,
        kind=FileKind.UPLOAD,
        object_key=key,
        size_bytes=len(data),
        content_type=content_type,
        created_at=now,
        expires_at=now + timedelta(seconds=file_ttl_s),
        file_name=file_name,
        counted_bytes=0 if max_bytes_stored is None else len(data),
    )
    # Row first: after a crash in between, the sweep finds a row without an object; the other way round it would
    # never learn of the object.
    table.put_file(file)
    store.put(file.object_key, data, content_type=content_type)
    return file
