"""Reading a multipart form with a file, once it is known who is asking: a stranger's bytes reach no disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from asr_queue.errors import CallerError
from handlers.access import Uploader

_FIELD: Final = "file"
_MOST_PARTS: Final = 10
"""Of each kind. A client may send more than is read here, and each part costs memory or a file on the disk."""

RECORDING_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [_FIELD],
                    "properties": {
                        _FIELD: {
                            "type": "string",
                            "format": "binary",
                            "minLength": 1,
                            "description": "Any audio, or the audio track of a video.",
                        }
                    },
                }
            }
        },
    }
}
"""The body that `recording` reads, for the OpenAPI description."""


async def recording(request: Request, tenant: Uploader) -> AsyncIterator[UploadFile]:
    """Give the file of a form, and remove what was kept of it on the disk afterwards.

    Raises:
        CallerError: `malformed_request`, `invalid_request`.
    """
    del tenant
    async with multipart(request, most_fields=_MOST_PARTS) as form:
        yield only_file(form)


@asynccontextmanager
async def multipart(request: Request, *, most_fields: int) -> AsyncIterator[FormData]:
    """Read a form, and remove what was kept of it on the disk afterwards.

    Raises:
        CallerError: `malformed_request`, `invalid_request`.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise CallerError("invalid_request", f"{_FIELD}: send a multipart/form-data body with a field of that name.")
    try:
        form = await request.form(max_files=_MOST_PARTS, max_fields=most_fields)
    except ValueError as error:  # the parser's own, and codecs that the form itself may name
        raise CallerError("malformed_request", "The body is no whole multipart form.", http_status=400) from error
    try:
        yield form
    finally:
        await form.close()


def only_file(form: FormData) -> UploadFile:
    """Return the one file of a form.

    Raises:
        CallerError: `invalid_request`: there is none, or more than one.
    """
    match form.getlist(_FIELD):
        case [UploadFile() as file]:
            return file
        case []:
            raise CallerError("invalid_request", f"{_FIELD}: Field required")
        case [_]:
            raise CallerError("invalid_request", f"{_FIELD}: a file is wanted, with a filename; this is a text.")
        case several:
            raise CallerError("invalid_request", f"{_FIELD}: one file a request, not {len(several)}")
