"""Reading what is sent as JSON: the body of a request, or a manifest. One validation for all of them."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from asr_queue.domain.batches import MAX_ITEMS
from asr_queue.errors import CallerError
from asr_queue.wire.api import MAX_LABEL_CHARS, PresignRequest, SubmitItem, SubmitRequest, VoiceRequest

M = TypeVar("M", bound=BaseModel)
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Room for 1,000 items with the longest texts; whoever takes JSON in reads no more. The parser bounds depth, at 200."""
_MOST_MARKS: Final = 500_000
"""Commas and opening brackets of a body, those in its texts included: a parsed value takes up to 160 bytes, whatever it
is, so that 16 MiB of `{},{},…` would take 800 MB. 1,000 texts of 10,000 characters have some 150,000 commas."""
_FIELDS_NAMED: Final = 5


def read_submit(body: bytes) -> SubmitRequest:
    """Read a submit as JSON.

    Raises:
        CallerError: `malformed_json` or `invalid_request`, naming the first few fields that are wrong.
    """
    return read_json(SubmitRequest, body)


def read_presign(body: bytes) -> PresignRequest:
    """Read what is going to be uploaded.

    Raises:
        CallerError: as for `read_submit`.
    """
    return read_json(PresignRequest, body)


def read_voice(body: bytes) -> VoiceRequest:
    """Read what is to become a voice.

    Raises:
        CallerError: as for `read_submit`.
    """
    return read_json(VoiceRequest, body)


def read_submit_lines(body: bytes, *, label: str) -> SubmitRequest:
    """Read a submit as JSON Lines: an item a line, empty lines aside.

    Raises:
        CallerError: as for `read_submit`; items are named by their place among the items, from 0.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not 1 <= len(lines) <= MAX_ITEMS:
        raise CallerError("invalid_request", f"items: 1 to {MAX_ITEMS} lines with an item each, not {len(lines)}")
    items = [read_json(SubmitItem, line, "items", place) for place, line in enumerate(lines)]
    return SubmitRequest(label=label[-MAX_LABEL_CHARS:], items=items)


def invalid_request(errors: Sequence[Any]) -> CallerError:
    """Return the refusal of a request whose fields are wrong, naming the first few of them."""
    told = [f"{_path(error['loc'])}: {error['msg']}" for error in errors[:_FIELDS_NAMED]]
    more = len(errors) - len(told)
    return CallerError("invalid_request", "; ".join(told) + (f"; and {more} more" if more else ""))


def read_json(model: type[M], body: bytes, *place: int | str) -> M:
    """Read a value of JSON.

    Args:
        place: where it stands, for messages.

    Raises:
        CallerError: as for `read_submit`; `payload_too_large`.
    """
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > _MOST_MARKS:
        raise CallerError("payload_too_large", f"{_path(place)}: more than {_MOST_MARKS} values.", http_status=413)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        located = [{**told, "loc": (*place, *told["loc"])} for told in errors]
        if errors[0]["type"] == "json_invalid":
            where = f"{_path(place)} is" if place else "The body is"
            raise CallerError("malformed_json", f"{where} not JSON: {errors[0]['msg']}.", http_status=400) from None
        raise invalid_request(located) from None


def _path(location: Sequence[int | str]) -> str:
    parts = location[1:] if location[:1] in (("body",), ("header",), ("query",), ("path",)) else location
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.lstrip(".") or "body"
