"""Submit the failed items of a batch once more: as a new batch, since what has ended never changes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asr_queue.domain.batches import Batch, Priority
from asr_queue.domain.callbacks import NOWHERE
from asr_queue.domain.items import CANCELLED, Item, Operation
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, WorkQueues
from asr_queue.usecases.submit_batch import Spoken, submit_batch
from asr_queue.usecases.visible_batch import visible_batch
from asr_queue.wire.api import RetryAnswer, SubmitItem, SubmitRequest

_NAMED: Final = 5
"""Items that a refusal names."""
_GONE: Final = frozenset({"file_expired", "file_not_found"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What a retry came to."""

    answer: RetryAnswer
    priority: Priority
    is_replay: bool
    """Whether this is the stored answer of an earlier request with the same Idempotency-Key."""
    unsent: int
    """Items whose message was refused for now; the sweep sends them."""
    spoken: Spoken | None
    """As of a submit."""


def retry_batch(
    batch_id: str,
    *,
    tenant: str,
    table: ItemTable,
    queues: WorkQueues,
    clock: Clock,
    idempotency_key: str | None = None,
    max_items_waiting: int | None = None,
    ahead_of: Callable[[Priority], int] | None = None,
    trusted_hosts: frozenset[str] = NOWHERE,
    operations: Collection[Operation] = (Operation.TRANSCRIBE,),
) -> Retried:
    """Submit what has failed of a batch by now, in its order, and with all that was asked for; or nothing at all.

    What was cancelled was not to be done any more, and is not done now. The new batch has the label, the priority and
    the callback of the old one, its items the custom ids.

    Args:
        batch_id: which.
        tenant: whose.
        table: where it is.
        queues: where the items go.
        clock: tells which uploads have expired.
        idempotency_key: a repeated request with this key gets the first one's answer, whatever failed since.
        max_items_waiting: as for a submit.
        ahead_of: counts the items that wait ahead of those of a priority; None where nobody counted.
        trusted_hosts: as for a submit.
        operations: as for a submit.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`; `nothing_to_retry`; `file_expired`,
            naming the items whose uploads are gone; and as for a submit.
        QuotaError: as for a submit.
    """
    batch, items = visible_batch(batch_id, tenant=tenant, table=table)
    failed = [item for item in items if item.error is not None and item.error.code != CANCELLED]
    if not failed:
        raise CallerError("nothing_to_retry", f"No item of batch {batch_id} has failed.", http_status=409)
    try:
        submitted = submit_batch(
            _request(batch, failed),
            tenant=tenant,
            table=table,
            queues=queues,
            clock=clock,
            idempotency_key=idempotency_key,
            max_items_waiting=max_items_waiting,
            ahead_items=None if ahead_of is None else ahead_of(batch.priority),
            retry_of=batch_id,
            trusted_hosts=trusted_hosts,
            operations=operations,
        )
    except CallerError as error:
        if error.code not in _GONE:
            raise
        raise _uploads_gone(failed, table, clock.now()) from error
    answer = RetryAnswer(**submitted.answer.model_dump(), retry_of=batch_id)
    return Retried(
        answer=answer,
        priority=batch.priority,
        is_replay=submitted.is_replay,
        unsent=submitted.unsent,
        spoken=submitted.spoken,
    )


def _request(batch: Batch, items: Sequence[Item]) -> SubmitRequest:
    return SubmitRequest(
        label=batch.label,
        priority=batch.priority,
        callback_url=batch.callback_url,
        items=[
            SubmitItem(
                operation=item.operation,
                ref_audio=item.upload_id,
                language=item.language or "auto",
                return_timestamps=item.return_timestamps,
                custom_id=item.custom_id,
                text=item.text,
                prompt=item.prompt,
                format=item.speech_format.value,
            )
            for item in items
        ],
    )


def _uploads_gone(items: Sequence[Item], table: ItemTable, now: datetime) -> CallerError:
    uploads = table.get_files([item.upload_id for item in items])
    usable = {upload_id for upload_id, upload in uploads.items() if not upload.is_expired(now)}
    gone = [repr(item.custom_id) if item.custom_id else f"items[{item.index}]" for item in items]
    gone = [name for name, item in zip(gone, items, strict=True) if item.upload_id not in usable]
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    return CallerError(
        "file_expired",
        f"The uploads of {', '.join(gone[:_NAMED])}{more} have expired: upload them again, "
        f"and submit them. Nothing was submitted.",
        http_status=410,
    )
