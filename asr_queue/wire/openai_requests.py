"""Reading what OpenAI's clients send: the fields of a form, a batch, and its lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from asr_queue.domain.batches import MAX_ITEMS
from asr_queue.errors import CallerError
from asr_queue.wire.api import MAX_CUSTOM_ID_CHARS
from asr_queue.wire.openai import BatchRequest, TranscriptionOptions
from asr_queue.wire.submits import invalid_request, read_json

_TOLD: Final = 5
"""Lines that a refusal names."""
_AUDIO: Final = ("file_id", "file_url", "url", "file")
"""What a line may name its recording by: ours; vLLM's, Groq's; and what the form calls it."""
_MAX_ADDRESS_CHARS: Final = 2_048
"""Of what carries no recording in itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a batch: what is to be transcribed, and how; or why it cannot be."""

    custom_id: str
    audio: str
    """Id or address of its recording, as it stands there."""
    options: TranscriptionOptions | None
    refusal: CallerError | None = None
    """Set exactly where there are no options."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    custom_id: Annotated[str, Field(min_length=1, max_length=MAX_CUSTOM_ID_CHARS)]
    method: Literal["POST"]
    url: Literal["/v1/audio/transcriptions"]
    body: dict[str, JsonValue]


def read_options(fields: Mapping[str, Any]) -> TranscriptionOptions:
    """Read the options of a transcription, from a form's texts or a body's values.

    Raises:
        CallerError: `invalid_request`, naming the fields that are wrong.
    """
    if str(fields.get("stream", "")).strip().lower() in ("true", "1"):
        raise CallerError(
            "invalid_request", "stream: there is no answer before the whole transcript; send false, or leave it out."
        )
    try:
        return TranscriptionOptions.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_context=False, include_input=False)) from None


def is_data(address: str) -> bool:
    """Whether an address carries in itself what it names (RFC 2397)."""
    return address[:5].lower() == "data:"


def read_batch(body: bytes) -> BatchRequest:
    """Read the body of a new batch.

    Raises:
        CallerError: as `read_submit`.
    """
    return read_json(BatchRequest, body)


def read_lines(data: bytes) -> list[Line]:
    """Read the lines of a batch, empty ones aside, in order.

    What is wrong with what one asks for is its own matter, and told where it is answered.

    Raises:
        CallerError: `invalid_batch_file`, naming the first lines that are none: no JSON, without `custom_id`, of
            another method or URL, or with a `custom_id` that was there before; or there are too many, or none.
    """
    numbered = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if not 1 <= len(numbered) <= MAX_ITEMS:
        raise _unreadable([f"1 to {MAX_ITEMS} lines are wanted, not {len(numbered)}"])
    lines: list[Line] = []
    wrong: list[str] = []
    seen: set[str] = set()
    for number, text in numbered:
        try:
            line = read_json(_Line, text)
        except CallerError as error:
            wrong.append(f"line {number}: {error.message}")
            continue
        if line.custom_id in seen:
            wrong.append(f"line {number}: custom_id {line.custom_id!r} was there before")
        seen.add(line.custom_id)
        lines.append(_asked(line))
    if wrong:
        more = [f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else []
        raise _unreadable([*wrong[:_TOLD], *more])
    return lines


def _asked(line: _Line) -> Line:
    try:
        return Line(line.custom_id, _audio_of(line.body), read_options(line.body))
    except CallerError as error:
        return Line(line.custom_id, "", None, error)


def _audio_of(body: Mapping[str, Any]) -> str:
    audio = next((body[name] for name in _AUDIO if body.get(name)), None)
    if not isinstance(audio, str):
        raise CallerError("invalid_request", "file_id: the id of a recording in /v1/files is wanted")
    if len(audio) > _MAX_ADDRESS_CHARS and not is_data(audio):
        raise CallerError("invalid_request", f"file_url: it may have {_MAX_ADDRESS_CHARS} characters at most")
    return audio


def _unreadable(reasons: list[str]) -> CallerError:
    return CallerError("invalid_batch_file", f"input_file_id: {'; '.join(reasons)}.")
