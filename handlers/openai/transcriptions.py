"""One recording in, its transcript out: a batch of one item on the queue, and a wait for its end."""

import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile

from asr_queue.domain.items import Item
from asr_queue.domain.quotas import Limits
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.usecases.transcribe_once import Recording, Taken, transcribe_once
from asr_queue.wire.openai import TranscriptionAnswer, TranscriptionOptions
from asr_queue.wire.openai_answers import answer, media_type, status_of
from asr_queue.wire.openai_requests import read_options
from asr_queue.wire.transcript import Transcript
from handlers.access import Wired
from handlers.files import checked_name, checked_type
from handlers.forms import multipart, only_file
from handlers.observability import count, logger
from handlers.openai.access import Limited, Tenant
from handlers.openai.errors import errors, openai_error
from handlers.openai.examples import TRANSCRIBED, TRANSCRIPTION_FORM
from handlers.wiring import Services

router = APIRouter(prefix="/v1/audio", tags=["openai"])
_MOST_FIELDS: Final = 200
"""A keyword is a field."""
_LISTS: Final = ("timestamp_granularities", "keywords")
_FIRST_PAUSE_S: Final = 0.1
_PAUSES_GROW: Final = 1.5
_LONGEST_PAUSE_S: Final = 2.0
_REPEAT_AFTER_S: Final = 1
"""The next request goes on waiting at once: it is the wait that costs time, not the asking."""


class _Form:
    """A recording and its options, as they came."""

    def __init__(self, file: UploadFile, options: TranscriptionOptions) -> None:
        self.file = file
        self.options = options


async def transcription_form(request: Request, tenant: Tenant) -> AsyncIterator[_Form]:
    """Read the form; it depends on who is asking, so that nothing is read for nobody."""
    del tenant
    async with multipart(request, most_fields=_MOST_FIELDS) as form:
        yield _Form(only_file(form), read_options(_fields(form)))


@router.post(
    "/transcriptions",
    operation_id="openai_transcribe",
    summary="Transcribe a recording, and wait for it",
    response_class=Response,
    response_model=TranscriptionAnswer,
    responses={
        200: {"content": {"application/json": {"example": TRANSCRIBED}, "text/plain": {}, "text/vtt": {}}},
        **errors(400, 401, 410, 413, 422, 429, 500, 503),
    },
    openapi_extra=TRANSCRIPTION_FORM,
)
async def transcribe(
    request: Request,
    wired: Wired,
    tenant: Tenant,
    limits: Limited,
    form: Annotated[_Form, Depends(transcription_form)],
) -> Response:
    """Put a recording on the queue with priority, wait for its end, and return its transcript.

    Where that takes longer than an answer may, 503 says to repeat the request: the same one goes on waiting, and costs
    nothing more.
    """
    deadline_s = time.monotonic() + wired.settings.sync_wait_s
    recording = Recording(
        data=await form.file.read(),
        file_name=checked_name(form.file.filename or ""),
        content_type=checked_type(form.file.content_type or ""),
        language=form.options.language or None,
        prompt=form.options.context,
        want_words=form.options.wants_times,
    )
    item = await _outcome(request, recording, tenant, limits, wired, deadline_s)
    if item is None:
        request.state.code = "still_transcribing"
        return openai_error(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "still_transcribing",
            "The transcription is not finished yet; repeat the same request, and it goes on waiting.",
            headers={"Retry-After": str(_REPEAT_AFTER_S)},
        )
    if item.error is not None:
        request.state.code = item.error.code
        # A repeat would be told the same: the outcome of an item is final.
        headers = {"x-should-retry": "false"}
        return openai_error(status_of(item.error.code), item.error.code, item.error.message, headers=headers)
    return await run_in_threadpool(_rendered, item, form.options, wired)


async def _outcome(
    request: Request, recording: Recording, tenant: str, limits: Limits, wired: Services, deadline_s: float
) -> Item | None:
    """Return the item once it is final; None where it is not at the deadline. No thread waits for it."""
    taken: Taken | None = None
    pause_s = _FIRST_PAUSE_S
    while True:
        if taken is None:
            taken = await run_in_threadpool(_take, recording, tenant, limits, wired)
            if taken is not None:
                _tell(request, taken)
        else:
            found = await run_in_threadpool(wired.table.load_batch, taken.batch_id)
            if found is None or found[0].deleted_at is not None:
                taken = None  # somebody has deleted it meanwhile: then it is submitted anew
            elif found[1][0].status.is_final:
                return found[1][0]
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return None
        await anyio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * _PAUSES_GROW, _LONGEST_PAUSE_S)


def _take(recording: Recording, tenant: str, limits: Limits, wired: Services) -> Taken | None:
    return transcribe_once(
        recording,
        tenant=tenant,
        limits=limits,
        store=wired.store,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )


def _tell(request: Request, taken: Taken) -> None:
    request.state.ids["batch_id"] = taken.batch_id
    if taken.submitted is None:
        return
    if not taken.submitted.is_replay:
        count("ItemsSubmitted", 1)
    if taken.submitted.unsent:
        logger.warning("messages_not_sent", extra={**request.state.ids, "unsent": taken.submitted.unsent})


def _rendered(item: Item, options: TranscriptionOptions, wired: Services) -> Response:
    fetched = fetch_file(
        item.result_name,
        tenant=item.tenant,
        store=wired.store,
        presigner=wired.presigner,
        table=wired.table,
        clock=wired.clock,
        inline_max_bytes=None,
    )
    transcript = Transcript.model_validate_json(fetched.data or b"")
    body = answer(transcript, options, audio_s=item.audio_s or 0.0)
    if isinstance(body, str):
        return Response(body, media_type=media_type(options))
    return JSONResponse(body)


def _fields(form: FormData) -> dict[str, Any]:
    """Return the texts of a form: lists by their name, with brackets or without, and of others the last one."""
    fields: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    for name in _LISTS:
        values = [value for one in (name, f"{name}[]") for value in form.getlist(one)]
        fields.pop(name, None)
        if values:
            fields[name] = values
    return fields
