"""The shapes of OpenAI's API, as far as they are spoken here. A client takes what it does not know for what it is."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr_queue.wire.api import MAX_PROMPT_CHARS, MAX_WORD_CHARS

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
MAX_MODEL_CHARS: Final = 256
_MAX_KEYWORDS: Final = 100
_MAX_KEYWORD_CHARS: Final = 200

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
