"""A file of lines becomes a batch: one recording a line, each answered as it asks.

A line that cannot be done is refused by itself, and stands among the errors; the others become items. An address is
never fetched: it must name a file that is here, or carry the recording in itself.
"""

import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from asr_queue.domain.files import File, file_id_of
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import Operation, order_key
from asr_queue.domain.languages import resolve
from asr_queue.domain.quotas import Limits
from asr_queue.errors import AsrQueueError, CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore, WorkQueues
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.delete_batch import delete_batch
from asr_queue.usecases.submit_batch import Submitted, submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from asr_queue.wire.openai import BatchRequest
from asr_queue.wire.openai_orders import Order, OrderLine
from asr_queue.wire.openai_requests import Line, is_data

LABEL: Final = "/v1/batches"
"""Of every batch that was made of lines."""
_OURS: Final = ("/v1/files/", "/api/v1/files/")
_PARALLEL_WRITES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What submitting works with."""

    tenant: str
    limits: Limits
    host: str
    """Host and port that the API was asked by: an address there names a file of ours."""
    store: ObjectStore
    table: ItemTable
    queues: WorkQueues
    clock: Clock
    file_ttl_s: int
    max_upload_bytes: int


def submit_lines(request: BatchRequest, lines: Sequence[Line], access: Access) -> Submitted:
    """Submit the lines that can be done, and keep beside the batch what it has beyond one.

    Args:
        lines: of the file that the request names, at least one.

    Raises:
        CallerError: `invalid_batch_file`: not one of them can be done.
        QuotaError: as `submit_batch` and `accept_upload`.
    """
    with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
        named = list(pool.map(lambda line: _with_upload(line, access), lines))
    known = access.table.get_files([line.audio for line in named if is_id(line.audio)])
    checked = [_checked(line, known.get(line.audio), access) for line in named]
    order = Order(request=request, lines=[_kept(line) for line in checked])
    items = [_item(line) for line in checked if line.refusal is None]
    if not items:
        first = checked[0]
        why = "" if first.refusal is None else first.refusal.message
        raise CallerError(
            "invalid_batch_file", f"input_file_id: not one line can be done; {first.custom_id!r} for one: {why}"
        )
    submitted = submit_batch(
        SubmitRequest(label=LABEL, items=items),
        tenant=access.tenant,
        table=access.table,
        queues=access.queues,
        clock=access.clock,
        max_items_waiting=access.limits.items_waiting,
    )
    batch_id = submitted.answer.batch_id
    try:
        access.store.put(
            order_key(access.tenant, batch_id), order.model_dump_json().encode(), content_type="application/json"
        )
    except AsrQueueError:
        # Nobody knows its id yet, and without its order it would be nobody's.
        with suppress(AsrQueueError):
            delete_batch(batch_id, tenant=access.tenant, store=access.store, table=access.table, clock=access.clock)
        raise
    return submitted


def _with_upload(line: Line, access: Access) -> Line:
    """Return a line whose recording is named by its id; what an address carries in itself becomes an upload."""
    if line.refusal is not None or is_id(line.audio):
        return line
    try:
        if is_data(line.audio):
            return replace(line, audio=_uploaded(line.audio, access).file_id)
        return replace(line, audio=_named(line.audio, access))
    except CallerError as error:
        if error.http_status == 429:
            raise
        return replace(line, refusal=error)


def _named(address: str, access: Access) -> str:
    """Return the id in an address of ours, or what is no address as it is."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if not parts.scheme and not parts.path.startswith("/"):
        return address
    path = parts.path.removesuffix("/content")
    prefix = next((one for one in _OURS if path.startswith(one)), None)
    is_ours = (not parts.scheme and not parts.netloc) or (
        parts.scheme in ("http", "https") and parts.netloc == access.host
    )
    file_id = file_id_of(path.removeprefix(prefix)) if prefix is not None and is_ours else None
    if file_id is None:
        raise CallerError(
            "foreign_address",
            "file_url: only files of this system are read, and no address is fetched; upload the recording to "
            "/v1/files, and name its id as file_id.",
        )
    return file_id


def _uploaded(address: str, access: Access) -> File:
    """Store what a `data:` URL (RFC 2397) carries."""
    head, comma, text = address[5:].partition(",")
    is_base64 = head.rpartition(";")[2].strip().lower() == "base64"
    try:
        data = base64.b64decode(text, validate=True) if is_base64 else unquote_to_bytes(text)
    except (binascii.Error, ValueError):
        data = b""
    if not comma or not data:
        raise CallerError("invalid_request", "file_url: the data URL carries nothing that can be read")
    if len(data) > access.max_upload_bytes:
        raise CallerError(
            "payload_too_large",
            f"file_url: {len(data)} bytes; {access.max_upload_bytes} are the most.",
            http_status=413,
        )
    return accept_upload(
        data,
        tenant=access.tenant,
        file_name="",
        content_type="application/octet-stream",
        store=access.store,
        table=access.table,
        clock=access.clock,
        file_ttl_s=access.file_ttl_s,
        max_bytes_stored=access.limits.bytes_stored,
    )


def _checked(line: Line, upload: File | None, access: Access) -> Line:
    """Return a line with the reason why it cannot be an item, if there is one."""
    if line.refusal is not None or line.options is None:
        return line
    language = line.options.language
    if language and language.strip().casefold() != "auto" and resolve(language) is None:
        return replace(line, refusal=CallerError("unknown_language", f"language: {language!r} is none that is known"))
    if upload is None or upload.tenant != access.tenant:
        told = f"file_id: there is no file {line.audio!r}; upload it first."
        return replace(line, refusal=CallerError("file_not_found", told, http_status=404))
    if upload.is_expired(access.clock.now()):
        told = f"file_id: file {line.audio!r} has expired; upload it again."
        return replace(line, refusal=CallerError("file_expired", told, http_status=410))
    if upload.is_awaited:
        told = f"file_id: the bytes of file {line.audio!r} have not come."
        return replace(line, refusal=CallerError("file_not_uploaded", told, http_status=409))
    return line


def _kept(line: Line) -> OrderLine:
    if line.refusal is None:
        return OrderLine(custom_id=line.custom_id, options=line.options)
    return OrderLine(
        custom_id=line.custom_id,
        refused=line.refusal.http_status,
        code=line.refusal.code,
        message=line.refusal.message,
    )


def _item(line: Line) -> SubmitItem:
    if line.options is None:
        raise ValueError(f"line {line.custom_id!r} was refused")
    return SubmitItem(
        operation=Operation.TRANSCRIBE,
        ref_audio=line.audio,
        language=line.options.language or None,
        return_timestamps=line.options.wants_times,
        prompt=line.options.context,
        custom_id=line.custom_id,
    )
