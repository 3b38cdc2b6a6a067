"""Hand out a finished batch as one file.

rows ─▶ objects, 16 at a time ─▶ rendered ─▶ packed, in order ─▶ chunks ─▶ the answer, or an object that a link leads to
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import PurePath
from typing import Final, TypeVar
from uuid import uuid4

from asr_queue.domain.batches import Batch, Progress
from asr_queue.domain.files import File, FileKind
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation, results_prefix
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore, Presigner
from asr_queue.usecases.batch_status import FILES_PATH
from asr_queue.usecases.fetch_file import LINK_LIFE_S
from asr_queue.usecases.visible_batch import visible_batch
from asr_queue.wire.downloads import Archive, DownloadedItem, Packed, packed
from asr_queue.wire.formats import Format, rendered
from asr_queue.wire.transcript import Transcript

DOWNLOADS: Final = "downloads/"
"""Where the archives are, below the results of their batch; who may write them is told by it (`template.yaml`)."""
_ARCHIVE_LIFE_S: Final = 300
"""Longer than the link: a slow line may still be reading."""
_READS_AT_ONCE: Final = 16
_AHEAD_BYTES: Final = 16 * 1024 * 1024
"""Most that is read ahead; a larger transcript is read alone."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A finished batch on its way out."""

    batch: Batch
    name: str
    """What the file may be called."""
    media_type: str
    chunks: Iterator[bytes]
    """The file. Reading it reads the store, and raises RetryableError where that is away; close it."""


def download_batch(
    batch_id: str,
    *,
    tenant: str | None,
    form: Format,
    archive: Archive,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
) -> Download:
    """Return a finished batch, packed as it is read: all its items in their order, failed and expired ones with why.

    However many items there are, and however long they are, no more than 16 transcripts are held at once.

    Args:
        batch_id: whatever the client sent.
        tenant: whose batches may be seen; None where the id alone is the right to see it.
        form: of each transcript; speech is as it is, a file in a zip archive and an address in a line.
        archive: of all of them.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`; `batch_unfinished`.
    """
    batch, items = visible_batch(batch_id, tenant=tenant, table=table)
    progress = Progress.of(items)
    if not progress.is_finished:
        ended = progress.completed + progress.failed
        raise CallerError(
            "batch_unfinished",
            f"{ended} of the {progress.total} items of batch {batch_id!r} have ended; ask again when all have.",
            http_status=409,
        )
    files = table.get_files([item.item_id for item in items if item.status is ItemStatus.DONE])
    read = partial(_read, form=form, archive=archive, store=store, clock=clock)
    return Download(
        batch=batch,
        name=f"{batch_id}.{archive}",
        media_type=archive.media_type,
        chunks=packed(read_ahead(items, files, read), form, archive),
    )


def keep_download(
    download: Download,
    chunks: Iterable[bytes],
    *,
    store: ObjectStore,
    presigner: Presigner,
    table: ItemTable,
    clock: Clock,
) -> str:
    """Write what no answer can carry to the store; return a link to it, which is good for a minute.

    It lives for five minutes, or for as long as the batch.

    Args:
        download: what it is.
        chunks: all of it.
    """
    now = clock.now()
    file_id = str(uuid4())
    folder = f"{results_prefix(download.batch.tenant, download.batch.batch_id)}{DOWNLOADS}"
    key = f"{folder}{file_id}{PurePath(download.name).suffix}"
    # The row first: then the bytes go, whatever happens in between. How many there will be nobody knows yet.
    table.put_file(
        File(
            file_id=file_id,
            tenant=download.batch.tenant,
            kind=FileKind.RESULT,
            object_key=key,
            size_bytes=0,
            content_type=download.media_type,
            created_at=now,
            expires_at=now + timedelta(seconds=_ARCHIVE_LIFE_S),
            file_name=download.name,
        )
    )
    store.put_stream(key, chunks, content_type=download.media_type)
    return presigner.link(key, content_type=download.media_type, life_s=LINK_LIFE_S)


def read_ahead(
    items: Sequence[Item], files: Mapping[str, File], read: Callable[[Item, File | None], Read]
) -> Iterator[Read]:
    """Read items by several threads, and return what was read in their order; no more than 16 at once.

    Args:
        files: those of their transcripts that there are, by the items' ids.
        read: reads one.
    """
    pool = ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="download")
    under_way: deque[tuple[int, Future[Read]]] = deque()
    ahead_bytes = 0
    try:
        for item in items:
            file = files.get(item.item_id)
            size_bytes = 0 if file is None else file.size_bytes
            while under_way and (len(under_way) >= _READS_AT_ONCE or ahead_bytes + size_bytes > _AHEAD_BYTES):
                read_bytes, first = under_way.popleft()
                ahead_bytes -= read_bytes
                yield first.result()
            under_way.append((size_bytes, pool.submit(read, item, file)))
            ahead_bytes += size_bytes
        while under_way:
            yield under_way.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(item: Item, file: File | None, *, form: Format, archive: Archive, store: ObjectStore, clock: Clock) -> Packed:
    is_speech = item.operation is Operation.VOICE_CLONE
    document: str | bytes | None = None
    url, error = None, item.error
    if error is None:
        try:
            if not is_speech:
                document = _document(item, file, form, store, clock)
            elif archive is Archive.ZIP:
                document = stored_result(item, file, store, clock)
            else:
                _living(file, clock)
                url = FILES_PATH + item.result_name
        except CallerError as refused:
            error = ItemError(refused.code, refused.message)
    return Packed(
        number=item.index + 1,
        item=DownloadedItem(
            item_id=item.item_id,
            custom_id=item.custom_id,
            status=item.status,
            url=url,
            error=None if error is None else error.message,
            error_code=None if error is None else error.code,
        ),
        document=document,
        suffix=f".{item.speech_format}" if is_speech else form.suffix,
        finished_at=item.finished_at or item.created_at,
    )


def _document(item: Item, file: File | None, form: Format, store: ObjectStore, clock: Clock) -> str:
    data = stored_result(item, file, store, clock)
    # As it is stored, whoever wrote it.
    return data.decode() + "\n" if form is Format.JSON else rendered(Transcript.model_validate_json(data), form)


def stored_result(item: Item, file: File | None, store: ObjectStore, clock: Clock) -> bytes:
    """Return a done item's result as it is stored.

    Raises:
        CallerError: `file_expired`.
        RetryableError: it cannot be read right now.
    """
    data = None if file is None or file.is_expired(clock.now()) else store.get(file.object_key)
    # Again: it may have expired, and been removed, while its bytes were read.
    _living(file, clock)
    if data is None:
        raise RetryableError("file_not_stored", f"The result of item {item.item_id} cannot be read right now.")
    return data


def _living(file: File | None, clock: Clock) -> None:
    if file is None or file.is_expired(clock.now()):
        raise CallerError("file_expired", "Its result has expired; it lives for a limited time.", http_status=410)
