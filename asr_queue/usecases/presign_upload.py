"""Let a client send a file straight to the store, past the limits of the API."""

from datetime import timedelta
from typing import Final
from uuid import uuid4

from asr_queue.domain.files import File, FileKind, presigned_key
from asr_queue.domain.quotas import refuse_bytes
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, Presigner
from asr_queue.wire.api import PresignAnswer, PresignedPart

PRESIGNED_LIFE_S: Final = 3600
"""How long sending may begin: each part of a large upload on a slow line is a beginning."""
_GRACE_S: Final = 600
"""How long after that a file is still awaited: what began in time takes its time."""
FORM_MAX_BYTES: Final = 100_000_000
"""Sent in one request; more is sent in parts, so that a broken line costs a part."""
_PART_BYTES: Final = 16 * 1024 * 1024
_MOST_PARTS: Final = 10_000
"""S3 takes no more (its quotas)."""


def presign_upload(
    *,
    tenant: str,
    file_name: str,
    size_bytes: int,
    content_type: str,
    presigner: Presigner,
    table: ItemTable,
    clock: Clock,
    max_upload_bytes: int,
    max_bytes_stored: int | None = None,
) -> PresignAnswer:
    """Register a file that is awaited, and return how its bytes are to be sent.

    Args:
        max_bytes_stored: what the tenant may have stored; then this counts, from now on. None for any number.

    Raises:
        CallerError: `empty_upload`, `payload_too_large`.
        QuotaError: `too_many_bytes_stored`.
    """
    if size_bytes == 0:
        raise CallerError("empty_upload", f"The file {file_name!r} has 0 bytes; send one with audio in it.")
    if size_bytes > max_upload_bytes:
        raise CallerError(
            "payload_too_large",
            f"The file {file_name!r} has {size_bytes} bytes; {max_upload_bytes} are the most.",
            http_status=413,
        )
    if max_bytes_stored is not None:
        refuse_bytes(size_bytes, table.usage(tenant), max_bytes_stored)
    file_id = str(uuid4())
    key = presigned_key(tenant, file_id)
    parts_id = None
    if size_bytes <= FORM_MAX_BYTES:
        form = presigner.form(key, size_bytes=size_bytes, content_type=content_type, life_s=PRESIGNED_LIFE_S)
        answer = PresignAnswer(
            file_id=file_id, method="POST", url=form.url, fields=dict(form.fields), expires_in_s=PRESIGNED_LIFE_S
        )
    else:
        offsets = range(0, size_bytes, max(_PART_BYTES, -(-size_bytes // _MOST_PARTS)))
        sizes = [min(offsets.step, size_bytes - offset) for offset in offsets]
        upload = presigner.parts(key, sizes_bytes=sizes, content_type=content_type, life_s=PRESIGNED_LIFE_S)
        parts_id = upload.parts_id
        parts = [
            PresignedPart(number=number, url=url, offset_bytes=offset, size_bytes=size)
            for number, (url, offset, size) in enumerate(zip(upload.urls, offsets, sizes, strict=True), start=1)
        ]
        answer = PresignAnswer(file_id=file_id, method="PUT", parts=parts, expires_in_s=PRESIGNED_LIFE_S)
    now = clock.now()
    table.put_file(
        File(
            file_id=file_id,
            tenant=tenant,
            kind=FileKind.UPLOAD,
            object_key=key,
            size_bytes=size_bytes,
            content_type=content_type,
            created_at=now,
            expires_at=now + timedelta(seconds=PRESIGNED_LIFE_S + _GRACE_S),
            file_name=file_name,
            is_awaited=True,
            parts_id=parts_id,
            counted_bytes=0 if max_bytes_stored is None else size_bytes,
        )
    )
    return answer
