"""A batch of lines: how far it has come, and the files that it makes, which are made when they are read.

What it has beyond a batch lies beside its results and goes with them: a file's life after its end, or with the batch.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from asr_queue.domain.batches import Batch, finished_at
from asr_queue.domain.files import File
from asr_queue.domain.ids import ID, is_id
from asr_queue.domain.items import CANCELLED, Item, ItemStatus, order_key
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore
from asr_queue.usecases.download_batch import read_ahead, stored_result
from asr_queue.usecases.submit_lines import LABEL
from asr_queue.wire.openai import BatchObject, LineError, LineResponse, OutputLine, RequestCounts
from asr_queue.wire.openai_answers import answer, error_answer, status_of
from asr_queue.wire.openai_orders import Order, OrderLine
from asr_queue.wire.transcript import Transcript


class Made(StrEnum):
    """The files that a batch makes, by how their ids begin."""

    OUTPUT = "output"
    """What was done."""
    ERRORS = "errors"
    """What was refused, or failed."""

    def id_of(self, batch_id: str) -> str:
        """Id of that file of a batch."""
        return f"{self}-{batch_id}"


_MADE_ID: Final = re.compile(rf"({'|'.join(Made)})-({ID})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesBatch:
    """All that is known of one."""

    batch: Batch
    items: list[Item]
    order: Order
    ended_at: datetime | None
    """When its last item ended."""
    expires_at: datetime | None
    """When its files end; known once it has ended."""

    @property
    def done(self) -> int:
        """Lines that were done."""
        return sum(item.status is ItemStatus.DONE for item in self.items)

    @property
    def failed(self) -> int:
        """Lines that were refused, or failed."""
        refused = sum(line.options is None for line in self.order.lines)
        return refused + sum(item.status is ItemStatus.ERROR for item in self.items)

    def has(self, made: Made) -> bool:
        """Whether there is that file: the batch has ended, and something is to stand in it."""
        return self.ended_at is not None and bool(self.done if made is Made.OUTPUT else self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file that a batch makes."""

    file_id: str
    made: Made
    of: LinesBatch


def load_lines(
    batch_id: str, *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock, file_ttl_s: int
) -> LinesBatch:
    """Return a batch of lines.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too, and for one that was not made of lines;
            `batch_deleted`; `batch_expired`: what it has beyond a batch went with its results.
    """
    found = table.load_batch(batch_id) if is_id(batch_id) else None
    if found is None or found[0].tenant != tenant:
        raise _not_found(batch_id)
    batch, items = found
    if batch.deleted_at is not None:
        raise CallerError("batch_deleted", f"Batch {batch_id!r} was deleted.", http_status=410)
    if batch.label != LABEL:
        raise _not_found(batch_id)
    ended_at = finished_at(items)
    expires_at = None if ended_at is None else ended_at + timedelta(seconds=file_ttl_s)
    kept = store.get(order_key(tenant, batch_id))
    if expires_at is not None and clock.now() >= expires_at:
        raise CallerError(
            "batch_expired",
            f"Batch {batch_id!r} ended at {ended_at:%Y-%m-%dT%H:%M:%SZ}; its files live for a limited time.",
            http_status=410,
        )
    if kept is None:
        raise _not_found(batch_id)
    return LinesBatch(
        batch=batch,
        items=items,
        order=Order.model_validate_json(kept),
        ended_at=ended_at,
        expires_at=expires_at,
    )


def described(found: LinesBatch) -> BatchObject:
    """Return a batch of lines as OpenAI's clients know it."""
    created_at, ended_at = _seconds(found.batch.created_at), _seconds(found.ended_at)
    cancelled_at = [_seconds(item.finished_at) for item in found.items if _is_cancelled(item)]
    was_cancelled = bool(cancelled_at)
    options = [line.options for line in found.order.lines if line.options is not None]
    if ended_at is None:
        status = "cancelling" if was_cancelled else "in_progress"
    else:
        status = "cancelled" if was_cancelled else "completed"
    request, batch_id = found.order.request, found.batch.batch_id
    return BatchObject.model_validate(
        {
            "id": batch_id,
            "endpoint": request.endpoint,
            "model": options[0].model if options else None,
            "input_file_id": request.input_file_id,
            "completion_window": request.completion_window,
            "status": status,
            "output_file_id": Made.OUTPUT.id_of(batch_id) if found.has(Made.OUTPUT) else None,
            "error_file_id": Made.ERRORS.id_of(batch_id) if found.has(Made.ERRORS) else None,
            "created_at": created_at,
            "in_progress_at": created_at,
            "expires_at": _seconds(found.expires_at),
            "finalizing_at": ended_at,
            "completed_at": None if was_cancelled else ended_at,
            "cancelling_at": min((at for at in cancelled_at if at is not None), default=None),
            "cancelled_at": ended_at if was_cancelled else None,
            "request_counts": RequestCounts(total=len(found.order.lines), completed=found.done, failed=found.failed),
            "metadata": request.metadata,
        }
    )


def find_made(
    file_id: str, *, tenant: str, store: ObjectStore, table: ItemTable, clock: Clock, file_ttl_s: int
) -> MadeFile | None:
    """Return a file that a batch makes, by its id; None for an id of any other kind.

    Raises:
        CallerError: `file_not_found`: the batch makes none such, or not yet, or is another tenant's; `file_expired`.
    """
    matched = _MADE_ID.fullmatch(file_id)
    if matched is None:
        return None
    made = Made(matched[1])
    try:
        found = load_lines(matched[2], tenant=tenant, store=store, table=table, clock=clock, file_ttl_s=file_ttl_s)
    except CallerError as error:
        if error.http_status == 410:
            raise CallerError("file_expired", f"File {file_id!r} has expired.", http_status=410) from None
        raise _no_file(file_id) from None
    if not found.has(made):
        raise _no_file(file_id)
    return MadeFile(file_id=file_id, made=made, of=found)


def lines_of(file: MadeFile, *, store: ObjectStore, table: ItemTable, clock: Clock) -> Iterator[bytes]:
    """Yield the lines of a file, in the order of the input; no more than 16 transcripts are held at once.

    Raises:
        RetryableError: a transcript cannot be read right now.
    """
    items = iter(file.of.items)
    numbered = [
        (number, line, None if line.options is None else next(items)) for number, line in enumerate(file.of.order.lines)
    ]
    if file.made is Made.ERRORS:
        for number, line, item in numbered:
            if item is None or item.status is ItemStatus.ERROR:
                yield _written(_failed(file.of.batch.batch_id, number, line, item))
        return
    done = [(line, item) for _, line, item in numbered if item is not None and item.status is ItemStatus.DONE]
    files = table.get_files([item.item_id for _, item in done])
    lines = {item.item_id: line for line, item in done}

    def read(item: Item, transcript: File | None) -> OutputLine:
        return _done(lines[item.item_id], item, transcript, store, clock)

    yield from map(_written, read_ahead([item for _, item in done], files, read))


def _done(line: OrderLine, item: Item, file: File | None, store: ObjectStore, clock: Clock) -> OutputLine:
    name = f"batch_req_{item.item_id}"
    if line.options is None:
        raise ValueError(f"line {line.custom_id!r} was refused")
    try:
        transcript = Transcript.model_validate_json(stored_result(item, file, store, clock))
        body = answer(transcript, line.options, audio_s=item.audio_s or 0.0)
    except CallerError as error:
        if error.http_status == 410:
            gone = LineError(code=error.code, message=error.message)
            return OutputLine(id=name, custom_id=line.custom_id, error=gone)
        return _refused(name, item.item_id, line, error.http_status, error.code, error.message)
    response = LineResponse(status_code=200, request_id=item.item_id, body=body)
    return OutputLine(id=name, custom_id=line.custom_id, response=response)


def _failed(batch_id: str, number: int, line: OrderLine, item: Item | None) -> OutputLine:
    if item is None or item.error is None:
        request_id = f"{batch_id}-{number}"
        return _refused(f"batch_req_{request_id}", request_id, line, line.refused or 422, line.code, line.message)
    name = f"batch_req_{item.item_id}"
    if _is_cancelled(item):
        error = LineError(code="batch_cancelled", message="The batch was cancelled before this line was done.")
        return OutputLine(id=name, custom_id=line.custom_id, error=error)
    return _refused(name, item.item_id, line, status_of(item.error.code), item.error.code, item.error.message)


def _refused(name: str, request_id: str, line: OrderLine, status: int, code: str, message: str) -> OutputLine:
    body = error_answer(status, code, message).model_dump()
    response = LineResponse(status_code=status, request_id=request_id, body=body)
    return OutputLine(id=name, custom_id=line.custom_id, response=response)


def _written(line: OutputLine) -> bytes:
    return line.model_dump_json().encode() + b"\n"


def _is_cancelled(item: Item) -> bool:
    return item.error is not None and item.error.code == CANCELLED


def _seconds(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp())


def _not_found(batch_id: str) -> CallerError:
    return CallerError("batch_not_found", f"There is no batch {batch_id!r}.", http_status=404)


def _no_file(file_id: str) -> CallerError:
    return CallerError("file_not_found", f"There is no file {file_id!r}.", http_status=404)
