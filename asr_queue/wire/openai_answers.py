"""What became of a recording, as OpenAI's API answers it: a transcript in every format of theirs, or an error."""

import re
from http import HTTPStatus
from math import ceil
from typing import Any, Final

from asr_queue.domain.items import CANCELLED
from asr_queue.wire.formats import Format, rendered, verbose
from asr_queue.wire.openai import (
    DurationUsage,
    ErrorAnswer,
    ErrorBody,
    TranscriptionAnswer,
    TranscriptionOptions,
    VerboseAnswer,
    VerboseSegment,
    VerboseWord,
)
from asr_queue.wire.transcript import Transcript

_TEXTS: Final = {"text": Format.TXT, "srt": Format.SRT, "vtt": Format.VTT}
_FIELD: Final = re.compile(r"([a-z_]+(?:\[\d*\]|\.[a-z_]+)*): ")
"""What a message about a field begins with."""
_STATUSES: Final = {
    CANCELLED: HTTPStatus.CONFLICT,
    "engine_out_of_memory": HTTPStatus.INTERNAL_SERVER_ERROR,
    "too_many_attempts": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(code: str) -> int:
    """Return the status of an item's failure: that of a recording at fault, unless something else was."""
    return _STATUSES.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)


def error_answer(status: int, code: str, message: str) -> ErrorAnswer:
    """Return what is answered, or stands in a file of errors."""
    named = _FIELD.match(message)
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    return ErrorAnswer.model_validate(
        {
            "error": ErrorBody.model_validate(
                {"message": message, "type": kind, "param": named and named[1], "code": code}
            )
        }
    )


def answer(transcript: Transcript, options: TranscriptionOptions, *, audio_s: float) -> dict[str, Any] | str:
    """Return what is answered: an object of JSON, or a text.

    Raises:
        CallerError: `no_word_times`: the format is made of them, and the engine has none for this language.
    """
    form = _TEXTS.get(options.response_format)
    if form is not None:
        return rendered(transcript, form)
    usage = DurationUsage(seconds=ceil(audio_s))
    if options.response_format == "json":
        return TranscriptionAnswer(text=transcript.text, usage=usage).model_dump()
    return _verbose(transcript, options, usage, audio_s)


def media_type(options: TranscriptionOptions) -> str:
    """Return the content type of an answer."""
    return _TEXTS.get(options.response_format, Format.JSON).media_type


def _verbose(
    transcript: Transcript, options: TranscriptionOptions, usage: DurationUsage, audio_s: float
) -> dict[str, Any]:
    told = verbose(transcript)
    wanted = options.timestamp_granularities or ["segment"]
    document = VerboseAnswer(
        language=told["language"] or "",
        duration=audio_s,
        text=transcript.text,
        words=[VerboseWord(**word) for word in told.get("words", ())] if "word" in wanted else None,
        segments=[VerboseSegment(**segment) for segment in told["segments"]] if "segment" in wanted else None,
        usage=usage,
    )
    return document.model_dump(exclude_none=True)
