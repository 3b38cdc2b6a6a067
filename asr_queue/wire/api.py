"""The shapes of the HTTP contract. Fields may be added; none may be renamed, removed or change its meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr_queue.domain.batches import MAX_ITEMS, BatchStatus, Priority
from asr_queue.domain.estimates import Basis
from asr_queue.domain.items import ItemStatus
from asr_queue.domain.notices import DeliveryState
from asr_queue.domain.speech import SpeechFormat

MAX_LABEL_CHARS = 500
MAX_CUSTOM_ID_CHARS = 500
MAX_TEXT_CHARS = 10_000
MAX_PROMPT_CHARS = 2_000
"""No engine takes as many tokens of context: Whisper 224, and more costs each pass."""
MAX_VOICE_NAME_CHARS = 100
MAX_SAID_CHARS = 1_000
"""Of what is said in a voice's sample: engines listen to some seconds of it, and nobody says that much in a minute."""
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


class VoiceRequest(_Wire):
    """Body of a new voice."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_VOICE_NAME_CHARS)]
    ref_audio: Annotated[str, Field(max_length=MAX_REF_AUDIO_CHARS)]
    """The sample, a file id; it is copied."""
    said: Annotated[str, Field(max_length=MAX_SAID_CHARS)] | None = ""
    """What is said in the sample, where that is known."""
    # Without consent it is refused by the use case, under a code of its own.
    consent: bool = False
    """The caller's statement that the speaker has agreed to be spoken for."""


class VoiceAnswer(_Wire):
    """A named voice."""

    voice_id: str
    """Stands as `ref_audio` of an item."""
    name: str
    said: str = ""
    """What is said in the sample; empty where nobody told."""
    size_bytes: int
    """Of the sample."""
    created_at: str
    """ISO 8601, UTC."""


class VoicesAnswer(_Wire):
    """A page of voices, newest first."""

    voices: list[VoiceAnswer]
    next_cursor: str | None = None
    """Leads to the next page; None where there is none."""


class SubmitItem(_Wire):
    """One item of a submit; `operation` and `language` are checked by the use case, item by item."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    operation: Annotated[str, Field(max_length=MAX_WORD_CHARS)]
    ref_audio: Annotated[str, Field(max_length=MAX_REF_AUDIO_CHARS)]
    language: Annotated[str, Field(max_length=MAX_WORD_CHARS)] | None = "auto"
    return_timestamps: bool = False
    custom_id: Annotated[str, Field(max_length=MAX_CUSTOM_ID_CHARS)] | None = None
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = ""
    """What a `voice_clone` says; of no meaning for others."""
    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = ""
    """Context and rare words for the engine."""
    format: Annotated[str, Field(max_length=MAX_WORD_CHARS)] | None = SpeechFormat.WAV.value
    """As what a `voice_clone` is wanted: a `SpeechFormat`, which the use case checks; of no meaning for others."""


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


class RetryAnswer(SubmitAnswer):
    """Answer to a retry: what a submit answers, of the new batch."""

    retry_of: str
    """Id of the batch whose failed items these are."""


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
    started_at: str | None = None
    """When a worker took it, the last time; ISO 8601, UTC, as every instant here."""
    finished_at: str | None = None
    attempt: int = 0
    """Times that it was started."""
    device_s: float | None = None
    """Its share of the seconds that the device computed, once it has ended; None where it came to no pass."""
    micro_batch: int | None = None
    """Most chunks that shared a pass with it."""
    cost_usd: float | None = None
    """What those seconds cost; None unless a price is set."""


class AudioAnswer(_Wire):
    """Seconds of audio of a batch."""

    done: float
    """Of the items that have ended."""
    total: float
    is_estimate: bool
    """Whether the total is one: some item has not been decoded yet."""


class EstimateAnswer(_Wire):
    """When a batch will be finished, and why that is believed. What nobody knows is None."""

    basis: Basis
    """`batch`: its own progress. `workers`: what the workers can do, and what waits ahead. `none`: nothing is known."""
    finish_at: str | None = None
    seconds_left: float | None = None
    audio_s_per_s: float | None = None
    """Seconds of the batch's audio that are done in a second, from now on."""
    ahead_items: int | None = None
    """Items of others that wait ahead of its first one, at most; 0 once one has been started."""
    ahead_audio_s: float | None = None
    """About how many seconds of audio those have."""
    workers: int | None = None
    """Workers that live."""


class StatusAnswer(_Wire):
    """Answer to a poll: status and counts are derived from exactly these items."""

    batch_id: str
    label: str
    status: BatchStatus
    completed: int
    failed: int
    total: int
    queued: int = 0
    processing: int = 0
    priority: Priority = Priority.NORMAL
    created_at: str | None = None
    finished_at: str | None = None
    """When the last item ended; None until then."""
    audio_s: AudioAnswer | None = None
    estimate: EstimateAnswer | None = None
    """None once the batch is finished."""
    device_s: float = 0.0
    """Seconds that the device computed for the items that have ended."""
    cost_usd: float | None = None
    """What those seconds cost; None unless a price is set."""
    items: list[ItemAnswer]

    @property
    def is_finished(self) -> bool:
        """Whether every item has ended: nothing changes any more."""
        return self.completed + self.failed == self.total


class LaneAnswer(_Wire):
    """What waits in one lane of the queue, by SQS's approximate counts."""

    priority: Priority
    visible: int
    """Items that wait for a worker."""
    in_flight: int
    """Items that workers hold."""


class WorkerAnswer(_Wire):
    """What a worker says of itself; "lately" is the last minute."""

    worker_id: str
    engine: str
    started_at: str
    seen_at: str
    """When it said so."""
    held_items: int
    micro_batch_max: int
    micro_batch_fill: float | None = None
    """Mean share of the places of a pass that were filled lately, 0 to 1; None where there was no pass."""
    audio_s_per_s: float | None = None
    """Seconds of audio for each second that its device computed; None before its first pass."""
    busy: float
    """Share of the time lately that its device computed, 0 to 1."""
    items_done: int
    audio_s_done: float
    resident: list[str] = []
    """The operations whose models are on its device."""
    swaps: int = 0
    """Times that a model had to come to the device, because another one had taken its place."""
    mean_swap_s: float | None = None
    """Seconds that one took; None before the first."""
    device_bytes: int | None = None
    """What the models hold of the device's memory; None where that is not measured."""


class QueueAnswer(_Wire):
    """The queue and who works on it: everybody's, not one tenant's."""

    backlog: list[LaneAnswer]
    waiting_audio_s: float
    """About how many seconds of audio wait or are being worked on."""
    audio_s_per_s: float | None = None
    """What the workers do together while they compute; None where none has measured itself."""
    workers: list[WorkerAnswer]
    """Those that live, by their start."""


class BatchAnswer(_Wire):
    """One batch in a list: as a status answer has it, without its items."""

    batch_id: str
    label: str
    status: BatchStatus
    priority: Priority
    completed: int
    failed: int
    queued: int
    processing: int
    total: int
    created_at: str
    """ISO 8601, UTC, as all instants here."""
    finished_at: str | None = None
    """When the last item ended; None while one has not."""
    retry_of: str | None = None
    """Id of the batch whose failed items it repeats."""


class BatchesAnswer(_Wire):
    """A page of batches, newest first."""

    batches: list[BatchAnswer]
    next_cursor: str | None = None
    """Leads to the next page; None where there is none."""


class CancelAnswer(_Wire):
    """Answer to a cancellation."""

    batch_id: str
    cancelled: int
    """Items that ended by it: those that had not ended before."""


class AttemptAnswer(_Wire):
    """One try to tell a callback."""

    at: str
    """ISO 8601, UTC."""
    status: int | None
    """Of the receiver's answer; null where there was none."""
    error: str | None
    """Why there was none; for people."""
    duration_s: float


class DeliveryAnswer(_Wire):
    """How far a batch's callback has been told of its end."""

    webhook_id: str
    """The `webhook-id` of every attempt."""
    callback_url: str
    state: DeliveryState
    attempts: list[AttemptAnswer]
    """The last 20, oldest first."""
    next_attempt_at: str | None
    """Null where none will be, and until the batch is finished."""


class SecretAnswer(_Wire):
    """What signs the deliveries of a tenant."""

    secret: str
    created_at: str
    """ISO 8601, UTC."""


class Problem(BaseModel):
    """An error answer (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """Stable, for programs."""
