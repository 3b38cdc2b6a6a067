"""Accept a batch: rows first, then messages."""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from asr_queue.domain.batches import Batch, Priority
from asr_queue.domain.callbacks import NOWHERE, parse_callback
from asr_queue.domain.files import File, FileKind
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import Item, Operation
from asr_queue.domain.languages import resolve
from asr_queue.domain.quotas import refuse_items
from asr_queue.domain.speech import SpeechFormat
from asr_queue.errors import AsrQueueError, CallerError, RetryableError
from asr_queue.ports import Clock, IdempotencyClaim, ItemTable, StoredAnswer, WorkQueues
from asr_queue.wire.api import SubmitAnswer, SubmitItem, SubmitRequest
from asr_queue.wire.messages import ItemMessage

FIRST_CHECK_S: Final = 120
"""When the sweep first asks whether a batch has finished."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What of a batch is to be said in somebody's voice, for the record."""

    tenant: str
    samples: Mapping[str, str]
    """By the items' ids, the recording whose voice says it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submit came to."""

    answer: SubmitAnswer
    is_replay: bool
    """Whether this is the stored answer of an earlier request with the same Idempotency-Key."""
    unsent: int
    """Items whose message was refused for now; the sweep sends them."""
    spoken: Spoken | None = None
    """Of a replay nothing: it was told the first time."""


def submit_batch(
    request: SubmitRequest,
    *,
    tenant: str | None,
    table: ItemTable,
    queues: WorkQueues,
    clock: Clock,
    idempotency_key: str | None = None,
    max_items_waiting: int | None = None,
    ahead_items: int | None = None,
    retry_of: str | None = None,
    trusted_hosts: frozenset[str] = NOWHERE,
    operations: Collection[Operation] = (Operation.TRANSCRIBE,),
) -> Submitted:
    """Register a batch and send its items to the workers; all of it, or nothing.

    Args:
        request: 1 to 1,000 items.
        tenant: whose files may be named; None where ids alone are the right to use them, and the batch then
            belongs to the tenant of its first upload.
        idempotency_key: a repeated request with this key gets the first one's answer.
        max_items_waiting: unfinished items that the tenant may have; then these count. None for any number.
        ahead_items: how many wait already, for its place in the queue; None where nobody counted.
        retry_of: id of the batch whose failed items these are; a repeated retry of that one is the same request,
            whatever else has failed since.
        trusted_hosts: whose callbacks may be anywhere (`domain.callbacks`).
        operations: what this system does.

    Raises:
        CallerError: which item is at fault, and why: `unknown_operation`, `operation_unavailable`,
            `unknown_language`, `unknown_format`, `text_empty`, `file_not_found`, `file_expired`; or
            `request_in_progress`, `idempotency_key_reused`, `too_many_items`, `callback_not_allowed`.
        QuotaError: `too_many_items_waiting`.
    """
    if request.callback_url is not None:
        parse_callback(request.callback_url, trusted=trusted_hosts)
    drafts = [_checked(item, place, operations) for place, item in enumerate(request.items)]
    uploads = table.get_files([draft.ref_audio for draft in drafts if is_id(draft.ref_audio)])
    now = clock.now()
    if tenant is None:
        uploads = {file_id: file for file_id, file in uploads.items() if file.has_secret_id}
        first = uploads.get(drafts[0].ref_audio)
        tenant = first.tenant if first is not None else ""
    claim: IdempotencyClaim | None = None
    if idempotency_key is not None:
        # Without what has its default, so that a release that knows more fields takes the same request for the same.
        meant = request.model_dump_json(exclude_defaults=True) if retry_of is None else f"retry {retry_of}"
        claim_or_answer = _claim(meant, tenant, idempotency_key, table, now)
        if isinstance(claim_or_answer, SubmitAnswer):
            return Submitted(claim_or_answer, is_replay=True, unsent=0)
        claim = claim_or_answer
    try:
        batch, items = _rows(request, drafts, uploads, tenant, now, is_counted=max_items_waiting is not None)
        if max_items_waiting is not None:
            refuse_items(len(items), table.usage(tenant), max_items_waiting)
        answer = SubmitAnswer(
            batch_id=batch.batch_id, total_items=batch.total, item_ids=[item.item_id for item in items]
        )
        batch = replace(batch, ahead_items=ahead_items, retry_of=retry_of)
        table.create_batch(batch, items, claim=claim, answer=answer.model_dump_json())
    except AsrQueueError:
        # Safe even where the batch was created after all: a claim that was fulfilled cannot be given back.
        if claim is not None:
            with suppress(RetryableError):
                table.release_idempotency(claim)
        raise
    samples = {item.item_id: item.upload_id for item in items if item.operation is Operation.VOICE_CLONE}
    return Submitted(
        answer,
        is_replay=False,
        unsent=_send(batch, items, table, queues, now),
        spoken=Spoken(tenant, samples) if samples else None,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    operation: Operation
    ref_audio: str
    language: str | None
    text: str
    speech_format: SpeechFormat
    item: SubmitItem


def _checked(item: SubmitItem, place: int, operations: Collection[Operation]) -> _Draft:
    try:
        operation = Operation(item.operation)
    except ValueError:
        known = ", ".join(Operation)
        raise CallerError(
            "unknown_operation", f"items[{place}].operation is {item.operation!r}; known are: {known}."
        ) from None
    if operation not in operations:
        raise CallerError(
            "operation_unavailable",
            f"items[{place}].operation: {operation} is off in this system. Its operator turns it on by naming an "
            f"engine for it, in ASR_QUEUE_VOICE_ENGINE or the stack's parameter VoiceEngine.",
        )
    language = None
    if item.language is not None and item.language.strip().casefold() != "auto":
        language = resolve(item.language)
        if language is None:
            raise CallerError(
                "unknown_language",
                f'items[{place}].language is {item.language!r}; use "auto", an English name such as "German", or an '
                f'ISO 639-1 code such as "de".',
            )
    if operation is Operation.TRANSCRIBE:
        return _Draft(operation, item.ref_audio, language, "", SpeechFormat.WAV, item)
    return _Draft(operation, item.ref_audio, language, _text(item, place), _speech_format(item, place), item)


def _text(item: SubmitItem, place: int) -> str:
    text = item.text or ""
    if not any(map(str.isalnum, text)):
        raise CallerError("text_empty", f"items[{place}].text has no letter and no digit: there is nothing to say.")
    return text


def _speech_format(item: SubmitItem, place: int) -> SpeechFormat:
    try:
        return SpeechFormat(item.format or SpeechFormat.WAV)
    except ValueError:
        known = ", ".join(SpeechFormat)
        raise CallerError("unknown_format", f"items[{place}].format is {item.format!r}; known are: {known}.") from None


def _claim(meant: str, tenant: str, key: str, table: ItemTable, now: datetime) -> IdempotencyClaim | SubmitAnswer:
    request_hash = hashlib.sha256(meant.encode()).hexdigest()
    found = table.claim_idempotency(tenant=tenant, key=key, request_hash=request_hash, now=now)
    if found is None:
        raise CallerError(
            "request_in_progress",
            "A request with this Idempotency-Key is being served right now; ask again in a second.",
            http_status=409,
        )
    if isinstance(found, StoredAnswer):
        if found.request_hash != request_hash:
            raise CallerError(
                "idempotency_key_reused", "This Idempotency-Key was used for another request; use a new one."
            )
        return SubmitAnswer.model_validate_json(found.body)
    return found


def _rows(
    request: SubmitRequest,
    drafts: list[_Draft],
    uploads: dict[str, File],
    tenant: str,
    now: datetime,
    *,
    is_counted: bool,
) -> tuple[Batch, list[Item]]:
    batch = Batch(
        batch_id=str(uuid4()),
        tenant=tenant,
        total=len(drafts),
        created_at=now,
        label=request.label or "",
        priority=request.priority,
        callback_url=request.callback_url,
    )
    items = []
    for place, draft in enumerate(drafts):
        upload = uploads.get(draft.ref_audio)
        # What this system has made is no recording; workers may not read it either.
        if upload is None or upload.tenant != tenant or upload.kind is FileKind.RESULT:
            raise CallerError(
                "file_not_found",
                f"items[{place}].ref_audio: there is no file {draft.ref_audio!r}; upload it first.",
                http_status=404,
            )
        if upload.is_expired(now):
            raise CallerError(
                "file_expired",
                f"items[{place}].ref_audio: file {draft.ref_audio} expired at {upload.expires_at.isoformat()}; "
                f"upload it again.",
                http_status=410,
            )
        if upload.is_awaited:
            raise CallerError(
                "file_not_uploaded",
                f"items[{place}].ref_audio: the bytes of file {draft.ref_audio} have not come; complete its upload "
                f"first.",
                http_status=409,
            )
        items.append(
            Item(
                batch_id=batch.batch_id,
                index=place,
                item_id=str(uuid4()),
                tenant=tenant,
                operation=draft.operation,
                upload_id=upload.file_id,
                upload_key=upload.object_key,
                created_at=now,
                custom_id=draft.item.custom_id,
                text=draft.text,
                speech_format=draft.speech_format,
                said=upload.said if draft.operation is Operation.VOICE_CLONE else "",
                prompt=draft.item.prompt or "",
                upload_bytes=upload.size_bytes,
                upload_type=upload.content_type,
                language=draft.language,
                return_timestamps=draft.item.return_timestamps,
                is_counted=is_counted,
            )
        )
    return batch, items


def _send(batch: Batch, items: list[Item], table: ItemTable, queues: WorkQueues, now: datetime) -> int:
    """Send the messages; the batch is accepted already, so whatever fails here is the sweep's to repeat."""
    try:
        unsent = send_items(items, queues, priority=batch.priority)
        if not unsent:
            table.mark_sent(batch, next_check_at=now + timedelta(seconds=FIRST_CHECK_S))
    except RetryableError:
        return len(items)
    return unsent


def send_items(items: list[Item], queues: WorkQueues, *, priority: Priority) -> int:
    """Send a message for each of a batch's items to the queue of its operation; return how many were refused."""
    refused = 0
    for operation in {item.operation for item in items}:
        messages = [
            ItemMessage(batch_id=item.batch_id, index=item.index, item_id=item.item_id)
            for item in items
            if item.operation is operation
        ]
        refused += len(queues[operation].send(messages, tenant=items[0].tenant, priority=priority))
    return refused
