"""Refuse a body that is too large before it is kept or parsed anywhere."""

from contextlib import suppress
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_queue.wire.submits import MAX_BODY_BYTES
from handlers.problems import refusal
from handlers.wiring import services

UPLOAD_PATHS: Final = frozenset({"/api/v1/files/upload", "/v1/audio/transcriptions", "/v1/files"})
_CODE: Final = "payload_too_large"


class _TooLargeError(Exception):
    """More bytes came than are read."""


class BodyLimit:
    """ASGI middleware: 413 for what is too long, by the header or as it comes.

    An upload may have `ASR_QUEUE_MAX_UPLOAD_BYTES`, with the form around it; anything else is JSON, of 16 MiB at most.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The application's own seam for replacing dependencies, which a middleware has to ask by itself.
        wired = scope["app"].dependency_overrides.get(services, services)()
        limit_bytes = wired.settings.max_upload_bytes if scope["path"] in UPLOAD_PATHS else MAX_BODY_BYTES
        told = f"A request may have {limit_bytes} bytes at most."
        refused = refusal(scope["path"], HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _CODE, told)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if _exceeds(declared, limit_bytes):
            scope["state"]["code"] = _CODE
            await refused(scope, receive, send)
            return
        taken_bytes = 0

        async def counting() -> Message:
            nonlocal taken_bytes
            message = await receive()
            taken_bytes += len(message.get("body", b""))
            if taken_bytes > limit_bytes:
                raise _TooLargeError
            return message

        async def unless_too_large(message: Message) -> None:
            # The framework takes the error for a body it could not parse; its answer must not get out.
            if taken_bytes <= limit_bytes:
                await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counting, unless_too_large)
        if taken_bytes > limit_bytes:
            scope["state"]["code"] = _CODE
            await refused(scope, receive, send)


def _exceeds(declared: bytes, limit_bytes: int) -> bool:
    # By its digits first: Python refuses to read a number of thousands of them.
    digits = declared.lstrip(b"0")
    return declared.isdigit() and (len(digits) > len(str(limit_bytes)) or int(digits or b"0") > limit_bytes)
