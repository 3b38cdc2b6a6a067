"""One recording, transcribed at most once while its answer lives, however often the same is asked.

What a request asks has a name: the hash of the bytes and of the options. Under that name, as an idempotency key, stands
the batch that it became. Where that is of no use any more (expired, deleted, cancelled), a new name follows from it.

    name ──answer──▶ batch, of use ───────────────▶ that one
      │                └── of no use ──▶ next name ─┐
      └──no answer──▶ upload, submit under the name ◀┘
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import CANCELLED, Operation
from asr_queue.domain.quotas import Limits
from asr_queue.errors import AsrQueueError
from asr_queue.ports import Clock, ItemTable, ObjectStore, WorkQueues
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.delete_file import delete_file
from asr_queue.usecases.submit_batch import Submitted, submit_batch
from asr_queue.wire.api import MAX_CUSTOM_ID_CHARS, SubmitAnswer, SubmitItem, SubmitRequest
from asr_queue.wire.openai import TRANSCRIPTIONS

_OVERTAKEN: Final = frozenset({"request_in_progress", "idempotency_key_reused", "idempotency_conflict"})
"""Another request for the same is being taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is to be transcribed, and how."""

    data: bytes
    file_name: str
    content_type: str
    language: str | None
    prompt: str
    want_words: bool

    @property
    def name(self) -> str:
        """The same for the same bytes and options; the space keeps it apart from every key that a request can carry."""
        asked = [hashlib.sha256(self.data).hexdigest(), self.language, self.prompt, self.want_words]
        return f"once {hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The batch of one item that a request became, or had become before."""

    batch_id: str
    submitted: Submitted | None
    """None where it was under way before, or done."""


def transcribe_once(
    recording: Recording,
    *,
    tenant: str,
    limits: Limits,
    store: ObjectStore,
    table: ItemTable,
    queues: WorkQueues,
    clock: Clock,
    file_ttl_s: int,
) -> Taken | None:
    """Return the batch of one item that stands for a recording; it is submitted only where there is none of use.

    None while another request for the same is being taken in: ask again in a moment.

    Raises:
        CallerError: as `accept_upload` and `submit_batch`; nothing is left of the upload then.
        QuotaError: likewise.
    """
    name = recording.name
    while (answered := table.get_answer(tenant=tenant, key=name, now=clock.now())) is not None:
        batch_id = SubmitAnswer.model_validate_json(answered.body).batch_id
        if _is_of_use(batch_id, table, clock.now(), file_ttl_s):
            return Taken(batch_id=batch_id, submitted=None)
        name = f"once {hashlib.sha256((name + batch_id).encode()).hexdigest()}"
    upload = accept_upload(
        recording.data,
        tenant=tenant,
        file_name=recording.file_name,
        content_type=recording.content_type,
        store=store,
        table=table,
        clock=clock,
        file_ttl_s=file_ttl_s,
        max_bytes_stored=limits.bytes_stored,
    )
    try:
        submitted = submit_batch(
            _request(recording, upload.file_id),
            tenant=tenant,
            table=table,
            queues=queues,
            clock=clock,
            idempotency_key=name,
            max_items_waiting=limits.items_waiting,
        )
    except AsrQueueError as error:
        # Whether it is pinned after all, deleting finds out: then it stays.
        with suppress(AsrQueueError):
            delete_file(upload.file_id, tenant=tenant, store=store, table=table, clock=clock)
        if error.code in _OVERTAKEN:
            return None
        raise
    return Taken(batch_id=submitted.answer.batch_id, submitted=submitted)


def _request(recording: Recording, upload_id: str) -> SubmitRequest:
    item = SubmitItem(
        operation=Operation.TRANSCRIBE,
        ref_audio=upload_id,
        language=recording.language,
        return_timestamps=recording.want_words,
        prompt=recording.prompt,
        custom_id=recording.file_name[:MAX_CUSTOM_ID_CHARS],
    )
    # Somebody waits.
    return SubmitRequest(label=TRANSCRIPTIONS, priority=Priority.HIGH, items=[item])


def _is_of_use(batch_id: str, table: ItemTable, now: datetime, file_ttl_s: int) -> bool:
    """Whether a batch is under way, or its outcome may still be given: a file's life from its end."""
    found = table.load_batch(batch_id)
    if found is None or found[0].deleted_at is not None:
        return False
    [item] = found[1]
    if item.finished_at is None:
        return True
    if item.error is not None:
        return item.error.code != CANCELLED and now < item.finished_at + timedelta(seconds=file_ttl_s)
    transcript = table.get_file(item.item_id)
    return transcript is not None and not transcript.is_expired(now)
