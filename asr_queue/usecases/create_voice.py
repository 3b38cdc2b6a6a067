"""Make a named voice of a sample."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import uuid4

from asr_queue.domain.files import File, FileKind
from asr_queue.domain.quotas import refuse_bytes
from asr_queue.domain.voices import MAX_VOICE_BYTES, NEVER, voice_key
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, ObjectStore
from asr_queue.usecases.fetch_file import find_whole_file, read_file
from asr_queue.wire.api import VoiceRequest

_MAKING_S: Final = 600
"""How long a voice may be in the making, far longer than a request lasts; what is left of it then is swept."""


@dataclass(frozen=True, slots=True)
class CreatedVoice:
    """A new voice, and what it was made of."""

    voice: File
    sha256: str
    """Of the sample's bytes, in hex: for the audit."""


def create_voice(
    request: VoiceRequest,
    *,
    tenant: str,
    is_available: bool,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    max_bytes_stored: int | None = None,
) -> CreatedVoice:
    """Copy a sample to where it stays until it is deleted; its id is new.

    What the sample holds is the worker's business: that nobody speaks in it is told by the first item.

    Args:
        request: names any file of the tenant; that one lives on to its own end.
        tenant: whose file it must be, and whose voice it becomes.
        is_available: whether this system has an engine that speaks.
        max_bytes_stored: what the tenant may have stored; then this counts. None for any number.

    Raises:
        CallerError: `operation_unavailable`, `consent_missing`, `voice_too_large`; `file_not_found`, `file_expired`,
            `file_not_uploaded` of the sample.
        QuotaError: `too_many_bytes_stored`.
        RetryableError: it was removed, with all else of its tenant, while it was being made.
    """
    if not is_available:
        raise CallerError(
            "operation_unavailable",
            "voice_clone is off in this system, so that voices are of no use. Its operator turns it on by naming an "
            "engine for it, in ASR_QUEUE_VOICE_ENGINE or the stack's parameter VoiceEngine.",
        )
    if not request.consent:
        raise CallerError(
            "consent_missing",
            "consent: true is needed, your statement that whoever speaks in the sample has agreed to be spoken for.",
        )
    sample = find_whole_file(request.ref_audio, tenant=tenant, table=table, clock=clock)
    if sample.size_bytes > MAX_VOICE_BYTES:
        raise CallerError(
            "voice_too_large",
            f"The sample has {sample.size_bytes} bytes; {MAX_VOICE_BYTES} are the most. Some seconds are enough.",
        )
    if max_bytes_stored is not None:
        refuse_bytes(sample.size_bytes, table.usage(tenant), max_bytes_stored)
    data = read_file(sample, request.ref_audio, store, clock)
    voice_id = str(uuid4())
    now = clock.now()
    voice = File(
        file_id=voice_id,
        tenant=tenant,
        kind=FileKind.VOICE,
        object_key=voice_key(tenant, voice_id, created_at=now),
        size_bytes=len(data),
        content_type=sample.content_type,
        created_at=now,
        expires_at=now + timedelta(seconds=_MAKING_S),
        file_name=request.name,
        said=request.said or "",
        is_awaited=True,
        counted_bytes=0 if max_bytes_stored is None else len(data),
    )
    # Row first, and awaited: whatever fails from here on, the sweep removes what there is of it.
    table.put_file(voice)
    store.put(voice.object_key, data, content_type=voice.content_type)
    table.complete_file(replace(voice, expires_at=NEVER))
    kept = table.get_file(voice_id)  # which says it after a lost reply too
    if kept is None or kept.is_awaited:
        store.delete([voice.object_key])
        raise RetryableError("file_not_stored", f"Voice {voice_id} was removed while it was being made.")
    return CreatedVoice(kept, hashlib.sha256(data).hexdigest())
