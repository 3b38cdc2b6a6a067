"""Answers that carry somebody's file, or lead to it."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

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
