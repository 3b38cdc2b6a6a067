"""Reading what OpenAI's clients send."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from asr_queue.errors import CallerError
from asr_queue.wire.openai import TranscriptionOptions
from asr_queue.wire.submits import invalid_request


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
