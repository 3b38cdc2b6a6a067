"""The HTTP API: `handler` for Lambda, `app` for any ASGI server."""

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from asr_queue import __version__
from handlers import batches, console_page, files, problems, queue, queue_state, voices, webhooks
from handlers.access import Wired
from handlers.body_limit import BodyLimit
from handlers.examples import problems as problem_examples
from handlers.observability import logger
from handlers.openai import batches as openai_batches
from handlers.openai import files as openai_files
from handlers.openai import models as openai_models
from handlers.openai import transcriptions

app = FastAPI(
    title="asr-queue",
    version=__version__,
    summary="Recordings in, transcripts with word times out.",
    description="Upload, submit, poll, fetch. Errors are `application/problem+json` with a stable `code`.",
)
app.include_router(files.router)
app.include_router(queue.router)
app.include_router(transcriptions.router)
app.include_router(openai_files.router)
app.include_router(openai_batches.router)
app.include_router(openai_models.router)
app.include_router(batches.router)
app.include_router(console_page.router)
app.include_router(queue_state.router)
app.include_router(webhooks.router)
app.include_router(voices.router)
problems.install(app)
app.add_middleware(BodyLimit)


@app.get(
    "/api/v1/health",
    tags=["health"],
    summary="Is the API up",
    responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}, **problem_examples(503)},
)
def health(wired: Wired) -> dict[str, str]:
    """Answer once the table can be read; the one call without a key."""
    wired.table.get_key("health")
    return {"status": "ok"}


@app.middleware("http")
async def log_request(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Write one wide line a request; the calls put their ids into `request.state.ids`."""
    began_s = time.monotonic()
    request.state.ids = {}
    response = await call_next(request)
    route = request.scope.get("route")
    logger.info(
        "request_served",
        extra={
            "method": request.method,
            "route": getattr(route, "path", None),
            "status": response.status_code,
            "code": getattr(request.state, "code", None),
            "duration_ms": round((time.monotonic() - began_s) * 1000, 1),
            **request.state.ids,
        },
    )
    return response


_TEXT_TYPES = [*DEFAULT_TEXT_MIME_TYPES, problems.MEDIA_TYPE]
"""What is answered as it is; anything else travels in base64."""

handler = logger.inject_lambda_context(Mangum(app, lifespan="off", text_mime_types=_TEXT_TYPES))
