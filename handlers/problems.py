"""Every error answer is a problem document (RFC 9457) with a stable code; under `/v1` it has OpenAI's shape instead."""

from http import HTTPStatus
from math import ceil
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from asr_queue.errors import CallerError, QuotaError, RetryableError
from asr_queue.wire.api import Problem
from asr_queue.wire.submits import invalid_request
from handlers.observability import logger
from handlers.openai.errors import is_openai, openai_error

MEDIA_TYPE: Final = "application/problem+json"
_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "malformed_request",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
}
"""Codes of what the framework itself refuses."""


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **extensions: Any
) -> JSONResponse:
    """Return a problem document as an answer."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, **extensions)
    return JSONResponse(body.model_dump(mode="json"), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def refusal(path: str, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error answer as the clients of a path know them."""
    answer = openai_error if is_openai(path) else problem
    return answer(status, code, detail, headers=headers)


def _methods_of(request: Request) -> str:
    """Return the methods of a path: all of them, where the framework knows those of its first route alone."""
    described: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    path = request.scope["path"]
    matching = [path] if path in described else [known for known in described if compile_path(known)[0].match(path)]
    return ", ".join(sorted(method.upper() for known in matching for method in described[known]))


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, ceil(seconds)))}


def install(app: FastAPI) -> None:
    """Let an app answer every failure with a problem document."""

    @app.exception_handler(CallerError)
    def caller_error(request: Request, error: CallerError) -> JSONResponse:
        request.state.code = error.code
        path = request.scope["path"]
        headers = None
        if error.http_status == HTTPStatus.UNAUTHORIZED:
            headers = {"WWW-Authenticate": "Bearer" if is_openai(path) else "ApiKey"}
        if isinstance(error, QuotaError):
            headers = _retry_after(error.retry_after_s)
        return refusal(path, error.http_status, error.code, error.message, headers=headers)

    @app.exception_handler(RetryableError)
    def retryable_error(request: Request, error: RetryableError) -> JSONResponse:
        request.state.code = error.code
        logger.warning("service_failed", extra={"code": error.code, "reason": error.message})
        return refusal(
            request.scope["path"],
            HTTPStatus.SERVICE_UNAVAILABLE,
            error.code,
            "A service that this needs failed for the moment; repeat the same request.",
            headers=_retry_after(error.retry_after_s),
        )

    @app.exception_handler(RequestValidationError)
    def wrong_fields(request: Request, error: RequestValidationError) -> JSONResponse:
        return caller_error(request, invalid_request(error.errors()))

    @app.exception_handler(HTTPException)
    def framework_refusal(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(HTTPStatus(error.status_code), "request_refused")
        request.state.code = code
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = _methods_of(request) or headers["Allow"]
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return refusal(request.scope["path"], error.status_code, code, detail, headers=headers)

    @app.exception_handler(ClientDisconnect)
    def caller_left(request: Request, error: ClientDisconnect) -> JSONResponse:
        del error
        request.state.code = "malformed_request"  # nobody reads the answer; the log shall not call it a bug
        detail = "The connection ended before the body did."
        return refusal(request.scope["path"], HTTPStatus.BAD_REQUEST, "malformed_request", detail)

    @app.exception_handler(Exception)
    def bug(request: Request, error: Exception) -> JSONResponse:
        request.state.code = "internal_error"
        logger.error("bug", exc_info=error)
        detail = "This is our fault; the log has what happened."
        return refusal(request.scope["path"], HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
