"""Refuse a body that is too large before it is kept anywhere."""

from contextlib import suppress
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.problems import problem
from handlers.wiring import services


class _TooLargeError(Exception):
    """More bytes came than are read."""


class BodyLimit:
    """ASGI middleware: 413 for more than `ASR_QUEUE_MAX_UPLOAD_BYTES`, by the header or as it comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT"):
            await self._app(scope, receive, send)
            return
        # The application's own seam for replacing dependencies, which a middleware has to ask by itself.
        wired = scope["app"].dependency_overrides.get(services, services)()
        limit_bytes = wired.settings.max_upload_bytes
        refusal = problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", f"A request may have {limit_bytes} bytes at most."
        )
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit_bytes:
            await refusal(scope, receive, send)
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
            await refusal(scope, receive, send)
