"""Named voices: samples that `voice_clone` speaks like, kept until they are deleted."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request

from asr_queue.domain.items import Operation
from asr_queue.usecases.create_voice import create_voice
from asr_queue.usecases.delete_voice import delete_voice
from asr_queue.usecases.find_voice import find_voice, voice_answer
from asr_queue.usecases.list_voices import list_voices
from asr_queue.wire.api import VoiceAnswer, VoiceRequest, VoicesAnswer
from asr_queue.wire.submits import read_voice
from handlers.access import Limited, Uploader, Wired
from handlers.examples import VOICE, VOICE_WANTED, VOICES, problems
from handlers.observability import logger
from handlers.schemas import json_body, link

router = APIRouter(prefix="/api/v1/voices", tags=["voices"])
_MAX_CURSOR_CHARS: Final = 100
_SPOKEN: Final = {"operation": "voice_clone", "ref_audio": "{$response.body#/voice_id}", "text": "Hello."}


async def voice_request(request: Request, tenant: Uploader) -> VoiceRequest:
    """Read the body as JSON; it depends on who is asking, so that nothing is read for nobody."""
    del tenant
    return read_voice(await request.body())


@router.post(
    "",
    operation_id="create_voice",
    summary="Make a voice of a sample",
    response_model=VoiceAnswer,
    responses={
        200: {
            "content": {"application/json": {"example": VOICE}},
            "links": {
                "look": link("get_voice", voice_id="voice_id"),
                "speak": {"operationId": "submit", "requestBody": {"items": [_SPOKEN]}},
            },
        },
        **problems(400, 401, 404, 409, 410, 413, 422, 429, 503),
    },
    openapi_extra=json_body(VoiceRequest, VOICE_WANTED),
)
def create(
    request: Request,
    wired: Wired,
    tenant: Uploader,
    limits: Limited,
    body: Annotated[VoiceRequest, Depends(voice_request)],
) -> VoiceAnswer:
    """Copy a sample to where it stays until it is deleted; its `voice_id` then stands as `ref_audio` of items.

    `consent` has to be true: your statement that the speaker has agreed. A log keeps it, with the sample's SHA-256.
    A repeated request makes another voice. This needs a key, wherever others do not.
    """
    created = create_voice(
        body,
        tenant=tenant,
        is_available=Operation.VOICE_CLONE in wired.settings.operations,
        store=wired.store,
        table=wired.table,
        clock=wired.clock,
        max_bytes_stored=limits.bytes_stored,
    )
    request.state.ids["voice_id"] = created.voice.file_id
    # The audit: who has stated consent for which sample, and never the sample itself or anybody's name.
    audit = {"tenant": tenant, "voice_id": created.voice.file_id, "sha256": created.sha256, "consent": body.consent}
    logger.info("voice_created", extra=audit)
    return voice_answer(created.voice)


@router.get(
    "",
    operation_id="list_voices",
    summary="List voices",
    response_model=VoicesAnswer,
    responses={200: {"content": {"application/json": {"example": VOICES}}}, **problems(401, 422, 429, 503)},
)
def voices(
    wired: Wired,
    tenant: Uploader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[
        str | None, Query(max_length=_MAX_CURSOR_CHARS, description="`next_cursor` of the page before.")
    ] = None,
) -> VoicesAnswer:
    """Return the voices of the key's tenant, newest first, a page at a time.

    A page may be short and have a next one all the same, where one was deleted at that moment: read on until
    `next_cursor` is null. This needs a key, wherever others do not.
    """
    return list_voices(
        tenant=tenant, limit=limit, cursor=cursor, store=wired.store, table=wired.table, clock=wired.clock
    )


@router.get(
    "/{voice_id}",
    operation_id="get_voice",
    summary="Look at a voice",
    response_model=VoiceAnswer,
    responses={200: {"content": {"application/json": {"example": VOICE}}}, **problems(401, 404, 429)},
)
def show(request: Request, wired: Wired, tenant: Uploader, voice_id: str) -> VoiceAnswer:
    """Return what is known of a voice; its sample is a file of that id. This needs a key, wherever others do not."""
    request.state.ids["voice_id"] = voice_id
    return voice_answer(find_voice(voice_id, tenant=tenant, table=wired.table, clock=wired.clock))


@router.delete(
    "/{voice_id}",
    operation_id="delete_voice",
    summary="Delete a voice",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(401, 404, 409, 429, 503),
)
def delete(request: Request, wired: Wired, tenant: Uploader, voice_id: str) -> None:
    """Remove a voice and its sample; may be called again. This needs a key, wherever others do not."""
    request.state.ids["voice_id"] = voice_id
    delete_voice(voice_id, tenant=tenant, store=wired.store, table=wired.table, clock=wired.clock)
