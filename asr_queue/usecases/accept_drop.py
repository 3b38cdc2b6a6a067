"""Take in what was put under the drop prefix: a recording or a manifest becomes a batch, with no request made.

Events of a put come at least once, late, and in any order. So nothing is taken from an event but its key: what
is there now is read, and which put that was is the idempotency key of its submit. The client learns what became of
it from a note beside the object, a receipt or an error.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from asr_queue.domain.callbacks import NOWHERE
from asr_queue.domain.drops import Drop, DropKind
from asr_queue.domain.files import FileKind
from asr_queue.domain.items import Operation
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore, StoredObject, WorkQueues
from asr_queue.usecases.batch_status import STATUS_PATH
from asr_queue.usecases.drop_request import drop_request
from asr_queue.usecases.register_drops import register_drop
from asr_queue.usecases.submit_batch import Submitted, submit_batch
from asr_queue.wire.api import SubmitAnswer
from asr_queue.wire.notes import DroppedObject, Receipt, Refusal

NOTE_LIFE_S: Final = 86_400
"""How long a receipt or an error stays: somebody comes to read it."""
_PASSING: Final = frozenset({"request_in_progress", "idempotency_conflict"})
"""Another execution for the same put is at work: its outcome is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a dropped object; neither: nothing was to be done."""

    submitted: Submitted | None = None
    """The batch that it became."""
    refusal: CallerError | None = None
    """Why it became none."""


def accept_drop(
    key: str,
    *,
    store: ObjectStore,
    table: ItemTable,
    queues: WorkQueues,
    clock: Clock,
    file_ttl_s: int,
    max_upload_bytes: int,
    trusted_hosts: frozenset[str] = NOWHERE,
    operations: Collection[Operation] = (Operation.TRANSCRIBE,),
) -> Accepted:
    """Do what is to be done about an object under the drop prefix, and leave a note of it; again is harmless.

    Raises:
        RetryableError: nothing is known; the event must come again.
    """
    drop = Drop.of(key)
    found = None if drop is None else store.head(key)
    if drop is None or found is None:
        return Accepted()
    register_drop(key, found, tenant=drop.tenant, table=table, life_s=file_ttl_s)
    dropped = DroppedObject(key=key, etag=found.etag, modified_at=found.modified_at.isoformat())
    if drop.kind is DropKind.MATERIAL:
        return Accepted()
    if not drop.has_room_for_notes:
        return Accepted(refusal=CallerError("invalid_request", "The key is too long for that of a note beside it."))
    identity = _identity(dropped)
    # First of all: long after it became a batch, what it names may have gone.
    answered = table.get_answer(tenant=drop.tenant, key=identity, now=clock.now())
    if answered is not None:
        answer = SubmitAnswer.model_validate_json(answered.body)
        _leave_receipt(answer, dropped, drop, store, table, clock)
        return Accepted(submitted=Submitted(answer, is_replay=True, unsent=0))
    try:
        _check_tenant(drop.tenant, table)
        request = drop_request(
            drop,
            found.size_bytes,
            store=store,
            table=table,
            clock=clock,
            file_ttl_s=file_ttl_s,
            max_upload_bytes=max_upload_bytes,
        )
        submitted = submit_batch(
            request,
            tenant=drop.tenant,
            table=table,
            queues=queues,
            clock=clock,
            idempotency_key=identity,
            trusted_hosts=trusted_hosts,
            operations=operations,
        )
    except CallerError as error:
        if error.code in _PASSING:
            raise RetryableError(error.code, error.message) from error
        refusal = _refusal(error, dropped)
        _leave_note(drop.error_key, refusal, drop, store, table, clock, instead_of=drop.receipt_key)
        return Accepted(refusal=error)
    _leave_receipt(submitted.answer, dropped, drop, store, table, clock)
    return Accepted(submitted=submitted)


def _check_tenant(tenant: str, table: ItemTable) -> None:
    if not any(key.tenant == tenant and key.revoked_at is None for key in table.list_keys()):
        raise CallerError(
            "unknown_tenant",
            f"There is no tenant {tenant!r} with a key that is in force; a key's tenant is the part after drop/.",
            http_status=403,
        )


def _identity(dropped: DroppedObject) -> str:
    """Return the idempotency key of a put; the space keeps it apart from every key that a request can carry."""
    return f"drop {hashlib.sha256(dropped.model_dump_json().encode()).hexdigest()}"


def _refusal(error: CallerError, dropped: DroppedObject) -> Refusal:
    return Refusal(
        title=HTTPStatus(error.http_status).phrase,
        status=error.http_status,
        detail=error.message,
        code=error.code,
        dropped=dropped,
    )


def _leave_receipt(
    answer: SubmitAnswer, dropped: DroppedObject, drop: Drop, store: ObjectStore, table: ItemTable, clock: Clock
) -> None:
    receipt = Receipt(**answer.model_dump(), status_url=STATUS_PATH + answer.batch_id, dropped=dropped)
    _leave_note(drop.receipt_key, receipt, drop, store, table, clock, instead_of=drop.error_key)


def _leave_note(
    key: str,
    note: Receipt | Refusal,
    drop: Drop,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    *,
    instead_of: str,
) -> None:
    """Write a note, and take away the other kind, which an earlier put may have left."""
    content_type = "application/problem+json" if isinstance(note, Refusal) else "application/json"
    data = note.model_dump_json(indent=2).encode()
    # Row first, as for every file: the sweep finds no object that has none.
    will_be = StoredObject(size_bytes=len(data), content_type=content_type, etag="", modified_at=clock.now())
    register_drop(key, will_be, tenant=drop.tenant, table=table, life_s=NOTE_LIFE_S, kind=FileKind.RESULT)
    store.put(key, data, content_type=content_type)
    store.delete([instead_of])
