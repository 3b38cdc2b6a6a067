"""The shapes of OpenAI's API, as far as they are spoken here. A client takes what it does not know for what it is."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr_queue.wire.api import MAX_PROMPT_CHARS, MAX_WORD_CHARS

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
MAX_MODEL_CHARS: Final = 256
_MAX_KEYWORDS: Final = 100
_MAX_KEYWORD_CHARS: Final = 200

MAX_ID_CHARS: Final = 64
MetadataName = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorBody(_Wire):
    """What was wrong."""

    message: str
    """For people."""
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = None
    """The field that was wrong, where it was one."""
    code: str
    """Stable, for programs: the codes of the native API."""


class ErrorAnswer(_Wire):
    """An error."""

    error: ErrorBody


class TranscriptionOptions(_Wire):
    """How a recording is to be transcribed: fields of a form, or of the body of a line. Others are ignored."""

    model: Annotated[str, Field(min_length=1, max_length=MAX_MODEL_CHARS)]
    """Any: what recognises is the workers' engine, whatever it is called."""
    language: Annotated[str, Field(max_length=MAX_WORD_CHARS)] | None = None
    prompt: str = ""
    keywords: Annotated[
        list[Annotated[str, Field(max_length=_MAX_KEYWORD_CHARS)]], Field(max_length=_MAX_KEYWORDS)
    ] = []
    """Words and phrases; they follow the prompt."""
    response_format: ResponseFormat = "json"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Accepted, and without effect: what is recognised does not depend on chance here."""
    timestamp_granularities: Annotated[list[Literal["word", "segment"]], Field(max_length=10)] = []
    """What `verbose_json` holds; segments where nothing is named."""

    @property
    def context(self) -> str:
        """What the engine is told: of a long prompt the end, as OpenAI has it."""
        return " ".join(filter(None, [self.prompt, ", ".join(self.keywords)]))[-MAX_PROMPT_CHARS:]

    @property
    def wants_times(self) -> bool:
        """Whether the answer is made of word times."""
        return self.response_format in ("srt", "vtt", "verbose_json")


class DurationUsage(_Wire):
    """What was used."""

    type: Literal["duration"] = "duration"
    seconds: int
    """Of audio, rounded up."""


class TranscriptionAnswer(_Wire):
    """Answer in the format `json`."""

    text: str
    usage: DurationUsage


class VerboseWord(_Wire):
    """One word, with its punctuation."""

    word: str
    start: float
    end: float


class VerboseSegment(_Wire):
    """One sentence, or what stands between two pauses; of what no engine here tells, a neutral value."""

    id: int
    seek: int = 0
    start: float
    end: float
    text: str
    tokens: list[int] = []
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float
    no_speech_prob: float = 0.0


class VerboseAnswer(_Wire):
    """Answer in the format `verbose_json`."""

    task: Literal["transcribe"] = "transcribe"
    language: str
    """English name in lower case; empty where nothing was said and none was given."""
    duration: float
    text: str
    words: list[VerboseWord] | None = None
    segments: list[VerboseSegment] | None = None
    usage: DurationUsage


class Model(_Wire):
    """A name that a request may have as its `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "asr-queue"


class ModelList(_Wire):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


Purpose = Literal["batch", "user_data", "audio"]
"""What a file may be made for: lines of a batch, or a recording by either name."""


class FileObject(_Wire):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    """Seconds since 1970, as all instants here."""
    expires_at: int
    filename: str
    purpose: str
    """As it was made, or `batch_output` of what a batch made."""
    status: Literal["uploaded", "processed"] = "processed"
    """`uploaded` while the bytes of a presigned upload are awaited."""


class FileList(_Wire):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(_Wire):
    """Answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class BatchRequest(_Wire):
    """Body of a new batch."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    input_file_id: Annotated[str, Field(max_length=MAX_ID_CHARS)]
    """A file of lines, made for `batch`."""
    endpoint: Literal["/v1/audio/transcriptions"]
    completion_window: Annotated[str, Field(pattern="^[1-9][0-9]{0,2}[hd]$")]
    """Echoed; what waits is done as soon as workers can."""
    metadata: Annotated[dict[MetadataName, MetadataValue], Field(max_length=16)] | None = None


class RequestCounts(_Wire):
    """How far a batch has come."""

    total: int
    completed: int
    failed: int
    """Lines that were refused included."""


class BatchObject(_Wire):
    """A batch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    """Of the first line."""
    errors: None = None
    """Never anything: a file of lines that cannot be read makes no batch."""
    input_file_id: str
    completion_window: str
    status: Literal["in_progress", "cancelling", "cancelled", "completed"]
    output_file_id: str | None = None
    """The file of what was done, once the batch has ended and something was."""
    error_file_id: str | None = None
    """The file of what failed, likewise."""
    created_at: int
    in_progress_at: int
    expires_at: int | None = None
    """When its files end; known from its end on."""
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: None = None
    expired_at: None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str] | None = None


class BatchList(_Wire):
    """A page of batches, the newest first."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class LineResponse(_Wire):
    """What a line would have been answered."""

    status_code: int
    request_id: str
    body: dict[str, Any] | str
    """An object, or the text of a format that is no JSON."""


class LineError(_Wire):
    """Why a line has no answer."""

    code: str
    message: str


class OutputLine(_Wire):
    """A line of a file of outputs, or of errors."""

    id: str
    custom_id: str
    response: LineResponse | None = None
    error: LineError | None = None
