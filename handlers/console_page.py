"""The console: a page in plain modules, served as they lie in the folder beside this one. Nothing is built.

It is static and nobody's: what it shows it asks of the API, with the key that somebody enters there.
"""

from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from handlers.access import Wired
from handlers.wiring import Services

router = APIRouter(prefix="/console", include_in_schema=False)
_FOLDER: Final = Path(__file__).with_name("console")
_PAGE: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Cache-Control": "no-cache",  # asked for again each time, so that modules of two releases never meet
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
    "connect-src 'self' {bucket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts and styles of this folder alone, none from a text; and no address but the API's and the bucket's."""


@router.get("")
def page(request: Request, wired: Wired) -> Response:
    """Return the page."""
    return _answer(request, _PAGE, wired)


@router.get("/{name}")
def part(request: Request, wired: Wired, name: str) -> Response:
    """Return one of the page's parts, by its exact name."""
    if name not in _parts() or name == _PAGE:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return _answer(request, name, wired)


def _answer(request: Request, name: str, wired: Services) -> Response:
    data, tag = _parts()[name]
    headers = _HEADERS | {"ETag": tag, "Content-Security-Policy": _POLICY.format(bucket=" ".join(_bucket(wired)))}
    known = {entry.strip().removeprefix("W/") for entry in request.headers.get("If-None-Match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(data, headers=headers, media_type=_TYPES[Path(name).suffix])


@cache
def _parts() -> dict[str, tuple[bytes, str]]:
    """Return each file of the folder with its tag, by its name."""
    files = [file for file in _FOLDER.iterdir() if file.suffix in _TYPES]
    return {file.name: (file.read_bytes(), f'"{sha256(file.read_bytes()).hexdigest()[:32]}"') for file in files}


def _bucket(wired: Services) -> tuple[str, str]:
    """Return where presigned uploads go, as a policy names it: the bucket itself, and everything in it.

    Signing tells: it is arithmetic, and knows of regions and other endpoints what the settings do not.
    """
    form = wired.presigner.form("uploads/", size_bytes=1, content_type="audio/wav", life_s=1)
    address = urlsplit(form.url)
    bucket = f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}"
    return bucket, f"{bucket}/"
