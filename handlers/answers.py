"""Answers that carry somebody's file, or lead to it."""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from asr_queue.usecases.download_batch import Download, keep_download
from handlers.wiring import Services

_AT_ONCE_BYTES: Final = 1_000_000
"""What is answered in one piece, so that a failure of the store is an error and no broken stream."""
_NO_REDIRECT: Final = "no-redirect"
ELSEWHERE: Final[dict[int | str, dict[str, Any]]] = {
    204: {"description": "The same for who sent `Prefer: no-redirect`: `Location` has it, and nothing leads there"},
    307: {"description": "It is too large for an answer; `Location` has it, for a minute, without the key"},
}
"""What `elsewhere` answers, for the OpenAPI description."""

INERT: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}
"""What keeps a browser from running, or keeping, what somebody uploaded or said."""


def elsewhere(request: Request, link: str) -> Response:
    """Return an answer that leads to a link.

    A page's script cannot look at a redirect; it can only let it be followed, with the key in its headers.
    """
    if request.headers.get("Prefer") != _NO_REDIRECT:
        return RedirectResponse(link, headers=INERT)
    headers = {**INERT, "Location": link, "Preference-Applied": _NO_REDIRECT}
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


def attachment(name: str) -> dict[str, str]:
    """Return the header that has a browser save an answer under a name of the system's own making: plain ASCII."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def handed_out(request: Request, download: Download, wired: Services) -> Response:
    """Return an answer with a whole file, or a stream of it; or, where no answer can carry it, one that leads to it."""
    most_bytes = wired.settings.inline_max_bytes
    begin, is_all = _begin(download.chunks, _AT_ONCE_BYTES if most_bytes is None else most_bytes)
    headers = {**INERT, **attachment(download.name)}
    if is_all:
        return Response(b"".join(begin), headers=headers, media_type=download.media_type)
    chunks = chain(begin, download.chunks)
    if most_bytes is None:
        return StreamingResponse(chunks, headers=headers, media_type=download.media_type)
    link = keep_download(
        download, chunks, store=wired.store, presigner=wired.presigner, table=wired.table, clock=wired.clock
    )
    return elsewhere(request, link)


def _begin(chunks: Iterator[bytes], most_bytes: int) -> tuple[list[bytes], bool]:
    """Take chunks until they are more than so many bytes; return them, and whether they are all there are."""
    taken: list[bytes] = []
    size_bytes = 0
    for chunk in chunks:
        taken.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > most_bytes:
            return taken, False
    return taken, True
