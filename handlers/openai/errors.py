"""Errors in OpenAI's shape, with this system's own codes."""

from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse

from asr_queue.wire.openai import ErrorBody
from asr_queue.wire.openai_answers import error_answer

_PREFIX: Final = "/v1"
_EXAMPLES: Final = {
    400: ("malformed_json", "The body is not JSON: Invalid JSON: EOF while parsing at line 1 column 9."),
    401: ("unauthorized", "Send your API key: `Authorization: Bearer <key>`."),
    404: ("file_not_found", "There is no file '8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11'."),
    409: ("file_in_use", "File '8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11' is needed by an unfinished item."),
    410: ("file_expired", "File '8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11' expired at 2026-01-31T12:30:00+00:00."),
    413: ("payload_too_large", "A request may have 536870912 bytes at most."),
    422: ("invalid_request", "response_format: Input should be 'json', 'text' or 'srt'"),
    429: ("too_many_requests", "This key may send 10 requests a second."),
    500: ("too_many_attempts", "Each attempt at it crashed or ran out of time."),
    503: ("still_transcribing", "The transcription is not finished yet; repeat the same request."),
}
_SCHEMA: Final = {"type": "object", "required": ["error"], "properties": {"error": ErrorBody.model_json_schema()}}


def is_openai(path: str) -> bool:
    """Whether a path is one of OpenAI's."""
    return path == _PREFIX or path.startswith(f"{_PREFIX}/")


def openai_error(status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error as an answer."""
    return JSONResponse(error_answer(status, code, message).model_dump(), status_code=status, headers=headers)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of error answers, with an example each."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        code, message = _EXAMPLES[status]
        example = error_answer(status, code, message).model_dump()
        described[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": _SCHEMA, "example": example}},
        }
    return described
