"""The shapes of the HTTP contract. Fields may be added; none may be renamed, removed or change its meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr_queue.domain.batches import MAX_ITEMS, BatchStatus, Priority
from asr_queue.domain.items import ItemStatus

MAX_LABEL_CHARS = 500
MAX_CUSTOM_ID_CHARS = 500
MAX_TEXT_CHARS = 10_000
MAX_PROMPT_CHARS = 2_000
"""No engine takes as many tokens of context: Whisper 224, and more costs each pass."""
MAX_CALLBACK_URL_CHARS = 2_048
MAX_WORD_CHARS = 64
"""Of an operation or a language. What is refused is named in the answer, so that its length has to have a bound too."""
MAX_REF_AUDIO_CHARS = 1024
"""The longest key in a bucket, which a manifest may name."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class UploadAnswer(_Wire):
    """Answer to an upload."""

    file_id: str
    size_bytes: int | None = None
    expires_at: str | None = None
    """ISO 8601, UTC."""


class PresignRequest(_Wire):
    """Body of a presign: what is going to be uploaded."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    file_name: str = ""
    # Nothing is refused by the use case, in words of its own.
    size_bytes: Annotated[int, Field(ge=0, json_schema_extra={"minimum": 1})]
    content_type: Annotated[str, Field(pattern="^[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+$", max_length=255)] = (
        "application/octet-stream"
    )


class PresignedPart(_Wire):
    """A part of an upload: `size_bytes` bytes from `offset_bytes`, by PUT to `url`."""

    number: int
    """From 1."""
    url: str
    offset_bytes: int
    size_bytes: int


class PresignAnswer(_Wire):
    """Answer to a presign: how to send the bytes, and until when that may begin.

    `POST`: one multipart form to `url`, `fields` first and the field `file` last. `PUT`: each of `parts`. Then
    `complete`.
    """

    file_id: str
    method: Literal["POST", "PUT"]
    url: str | None = None
    """Set exactly for `POST`, as `fields`."""
    fields: dict[str, str] | None = None
    parts: list[PresignedPart] | None = None
    """Set exactly for `PUT`."""
    expires_in_s: int


class SubmitItem(_Wire):
    """One item of a submit; `operation` and `language` are checked by the use case, item by item."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    operation: Annotated[str, Field(max_length=MAX_WORD_CHARS)]
    ref_audio: Annotated[str, Field(max_length=MAX_REF_AUDIO_CHARS)]
    language: Annotated[str, Field(max_length=MAX_WORD_CHARS)] | None = "auto"
    return_timestamps: bool = False
    custom_id: Annotated[str, Field(max_length=MAX_CUSTOM_ID_CHARS)] | None = None
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = ""
    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = ""
    """Context and rare words for the engine."""


class SubmitRequest(_Wire):
    """Body of a submit."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    label: Annotated[str, Field(max_length=MAX_LABEL_CHARS)] | None = ""
    priority: Priority = Priority.NORMAL
    callback_url: Annotated[str, Field(max_length=MAX_CALLBACK_URL_CHARS)] | None = None
    """Where the end of the batch is to be told."""
    items: Annotated[list[SubmitItem], Field(min_length=1, max_length=MAX_ITEMS)]


class SubmitAnswer(_Wire):
    """Answer to a submit; `item_ids` are in the order of the request's items."""

    batch_id: str
    total_items: int
    item_ids: list[str]
    status: Literal["queued"] = "queued"


class ItemAnswer(_Wire):
    """One item in a status answer."""

    item_id: str
    custom_id: str | None = None
    ref_audio: str | None = None
    """The item's upload, a file id. None for who asks without a key: a batch's id is no right to its recordings."""
    status: ItemStatus
    url: str | None = None
    """Set exactly when `done`."""
    error: str | None = None
    """Set exactly when the status is `error`; for people."""
    error_code: str | None = None
    """Set exactly when the status is `error`; stable, for programs."""
    audio_s: float | None = None
    """Length of the audio, once known."""


class StatusAnswer(_Wire):
    """Answer to a poll: status and counts are derived from exactly these items."""

    batch_id: str
    label: str
    status: BatchStatus
    completed: int
    failed: int
    total: int
    items: list[ItemAnswer]


class CancelAnswer(_Wire):
    """Answer to a cancellation."""

    batch_id: str
    cancelled: int
    """Items that ended by it: those that had not ended before."""


class Problem(BaseModel):
    """An error answer (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """Stable, for programs."""
