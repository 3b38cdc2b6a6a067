"""The contract as values: a call says what to send and how to read the answer. No I/O."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from asr_queue.client.errors import ApiError, BadAnswerError
from asr_queue.domain.batches import BatchStatus, Priority
from asr_queue.domain.speech import SpeechFormat
from asr_queue.wire.api import (
    MAX_CUSTOM_ID_CHARS,
    BatchesAnswer,
    CancelAnswer,
    ItemAnswer,
    PresignAnswer,
    PresignRequest,
    Problem,
    QueueAnswer,
    RetryAnswer,
    StatusAnswer,
    SubmitAnswer,
    SubmitItem,
    SubmitRequest,
    UploadAnswer,
    VoiceAnswer,
    VoiceRequest,
    VoicesAnswer,
)
from asr_queue.wire.downloads import Archive
from asr_queue.wire.formats import Format
from asr_queue.wire.times import iso
from asr_queue.wire.transcript import Transcript

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_BATCHES_A_PAGE: Final = 100
_VOICES: Final = "/api/v1/voices"
_VOICES_A_PAGE: Final = 100
_MAX_DETAIL_CHARS: Final = 300
"""How much of an answer that is no problem document is shown to people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, without the address and the key."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """Below the base URL, percent-encoded."""
    read: Callable[[bytes], T]
    """Makes the value from the body of a good answer; raises BadAnswerError."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    may_redirect: bool = False
    """Whether the answer may be elsewhere, at an address that needs no key."""


def transcribe_item(
    file_id: str,
    *,
    language: str = "auto",
    timestamps: bool = False,
    prompt: str = "",
    custom_id: str | None = None,
) -> SubmitItem:
    """Return an item that asks for the transcript of an upload.

    Args:
        file_id: what `upload` answered.
        language: "auto", an English name or an ISO 639 code.
        timestamps: whether the transcript is to have word times.
        prompt: names and rare words that may be said, or what was said before; at most 2,000 characters.
        custom_id: at most 500 characters; echoed back, never interpreted.
    """
    return SubmitItem(
        operation="transcribe",
        ref_audio=file_id,
        language=language,
        return_timestamps=timestamps,
        prompt=prompt,
        custom_id=custom_id,
    )


def speech_item(
    voice: str,
    text: str,
    *,
    language: str = "auto",
    form: SpeechFormat | str = SpeechFormat.WAV,
    custom_id: str | None = None,
) -> SubmitItem:
    """Return an item that asks for a text to be said.

    Args:
        voice: the id of an upload, or of a named voice.
        text: at most 10,000 characters.
        language: "auto", an English name or an ISO 639 code.
        form: "wav", "flac" or "mp3".
        custom_id: at most 500 characters; echoed back, never interpreted.

    Raises:
        ValueError: there is no such format, or the text is too long.
    """
    return SubmitItem(
        operation="voice_clone",
        ref_audio=voice,
        text=text,
        language=language,
        format=SpeechFormat(form),
        custom_id=custom_id,
    )


def create_voice_call(name: str, file_id: str, *, said: str, consent: bool) -> Call[VoiceAnswer]:
    """Make a voice of an upload.

    Raises:
        ValueError: no name, or one of more than 100 characters; more than 1,000 that are said.
    """
    request = VoiceRequest(name=name, ref_audio=file_id, said=said, consent=consent)
    return Call(
        method="POST",
        path=_VOICES,
        read=_reader(VoiceAnswer),
        headers={"Content-Type": "application/json"},
        body=request.model_dump_json().encode(),
    )


def voices_call(*, cursor: str | None) -> Call[VoicesAnswer]:
    """Ask for a page of the list of voices."""
    query = {"limit": _VOICES_A_PAGE} | ({} if cursor is None else {"cursor": cursor})
    return Call(method="GET", path=f"{_VOICES}?{urlencode(query)}", read=_reader(VoicesAnswer))


def delete_voice_call(voice_id: str) -> Call[None]:
    """Remove a voice."""
    return Call(method="DELETE", path=f"{_VOICES}/{quote(voice_id, safe='')}", read=_nothing)


def upload_call() -> Call[UploadAnswer]:
    """Step 1, but for its body, the multipart field `file`."""
    return Call(method="POST", path="/api/v1/files/upload", read=_reader(UploadAnswer))


def presign_call(file_name: str, size_bytes: int, content_type: str) -> Call[PresignAnswer]:
    """Step 1 for a large file: ask where its bytes go."""
    request = PresignRequest(file_name=file_name, size_bytes=size_bytes, content_type=content_type)
    return Call(
        method="POST",
        path="/api/v1/files/presign",
        read=_reader(PresignAnswer),
        headers={"Content-Type": "application/json"},
        body=request.model_dump_json().encode(),
    )


def complete_call(file_id: str) -> Call[UploadAnswer]:
    """The end of step 1 for a large file: say that its bytes are there."""
    return Call(method="POST", path=f"/api/v1/files/{quote(file_id, safe='')}/complete", read=_reader(UploadAnswer))


def submit_call(
    items: Sequence[SubmitItem],
    *,
    label: str,
    idempotency_key: str,
    priority: Priority | str = Priority.NORMAL,
    callback_url: str | None = None,
) -> Call[SubmitAnswer]:
    """Step 2.

    Raises:
        ValueError: no items, more than 1,000, a label of more than 500 characters, or a priority that is none.
    """
    request = SubmitRequest(label=label, items=list(items), priority=Priority(priority), callback_url=callback_url)

    def read(body: bytes) -> SubmitAnswer:
        answer = _reader(SubmitAnswer)(body)
        if len(answer.item_ids) != len(request.items):
            raise BadAnswerError(f"{len(request.items)} items were submitted, {len(answer.item_ids)} came back")
        return answer

    return Call(
        method="POST",
        path="/api/v1/queue/submit",
        read=read,
        headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key},
        body=request.model_dump_json().encode(),
    )


def batches_call(
    *,
    label: str | None,
    state: BatchStatus | str | None,
    created_from: datetime | None,
    created_to: datetime | None,
    cursor: str | None,
) -> Call[BatchesAnswer]:
    """Ask for a page of the list of batches.

    Raises:
        ValueError: a state that is none, or a time without a zone.
    """
    for instant in (created_from, created_to):
        if instant is not None and instant.tzinfo is None:
            raise ValueError(f"{instant} has no time zone")
    query = {
        "label": label,
        "state": None if state is None else BatchStatus(state).value,
        "created_from": None if created_from is None else iso(created_from),
        "created_to": None if created_to is None else iso(created_to),
        "limit": _BATCHES_A_PAGE,
        "cursor": cursor,
    }
    told = urlencode({name: value for name, value in query.items() if value is not None})
    return Call(method="GET", path=f"/api/v1/queue/batches?{told}", read=_reader(BatchesAnswer))


def cancel_call(batch_id: str, item_id: str | None = None) -> Call[CancelAnswer]:
    """End what of a batch, or an item of it, has not ended."""
    item = "" if item_id is None else f"/items/{quote(item_id, safe='')}"
    return Call(method="POST", path=f"{_batch_path(batch_id)}{item}/cancel", read=_reader(CancelAnswer), body=b"")


def retry_call(batch_id: str, *, idempotency_key: str) -> Call[RetryAnswer]:
    """Submit what has failed of a batch once more."""
    headers = {"Idempotency-Key": idempotency_key}
    path = f"{_batch_path(batch_id)}/retry"
    return Call(method="POST", path=path, read=_reader(RetryAnswer), headers=headers, body=b"")


def status_call(batch_id: str, *, wait_s: int = 0) -> Call[StatusAnswer]:
    """Step 3.

    Args:
        wait_s: 0 to 20; how long the server may wait for a change. One that cannot answers at once.
    """
    path = f"/api/v1/queue/status/{quote(batch_id, safe='')}"
    return Call(method="GET", path=f"{path}?wait={wait_s}" if wait_s else path, read=_reader(StatusAnswer))


def queue_call() -> Call[QueueAnswer]:
    """Ask what waits, and who works on it."""
    return Call(method="GET", path="/api/v1/queue", read=_reader(QueueAnswer))


def fetch_call(item: ItemAnswer | str) -> Call[Transcript]:
    """Step 4.

    Args:
        item: a finished item, its `url`, or the last part of that.

    Raises:
        ValueError: the item has no transcript: it is not done, or its result is speech.
    """
    path = file_path(item)
    if path.endswith(tuple(f".{made}" for made in SpeechFormat)):
        raise ValueError(f"there is no transcript to fetch: {path} is speech; save it")
    return Call(method="GET", path=path, read=_reader(Transcript), may_redirect=True)


def delete_file_call(item: ItemAnswer | str) -> Call[None]:
    """Remove a transcript or an upload before its time.

    Args:
        item: a finished item, its `url`, the last part of that, or a file id.

    Raises:
        ValueError: the item has no transcript.
    """
    return Call(method="DELETE", path=file_path(item), read=_nothing)


def delete_batch_call(batch_id: str) -> Call[None]:
    """Remove a batch."""
    return Call(method="DELETE", path=_batch_path(batch_id), read=_nothing)


def download_path(batch_id: str, form: Format, archive: Archive) -> str:
    """Return where a batch is had as one file."""
    return f"/api/v1/queue/batches/{quote(batch_id, safe='')}/download?format={form}&as={archive}"


def as_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return what an answer that is not 2xx means; any body is understood."""
    retry_after_s = parse_retry_after(headers)
    if 300 <= status < 400:
        target = headers.get("location", "somewhere else")
        detail = f"the server redirects to {target}; use the address that it points to"
        return ApiError(status, "redirected", detail, retry_after_s=retry_after_s)
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        detail = _detail_of(body) or f"the server answered {status} and said nothing more"
        return ApiError(status, f"http_{status}", detail, retry_after_s=retry_after_s)
    return ApiError(status, problem.code, problem.detail, retry_after_s=retry_after_s)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`, in seconds from now or as a date; None where it is absent or makes no sense."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        # Against the server's own clock: ours may be wrong.
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


def displayable(name: str, *, max_chars: int = MAX_CUSTOM_ID_CHARS) -> str:
    """Return a file name as text that UTF-8 can carry: at most `max_chars`, its end kept."""
    return name.encode("utf-8", "replace").decode()[-max_chars:]


def _batch_path(batch_id: str) -> str:
    return f"/api/v1/queue/batches/{quote(batch_id, safe='')}"


def file_path(item: ItemAnswer | str) -> str:
    """Return the path of a file. Only the last part of a URL is used, so that the key never goes to another host.

    Raises:
        ValueError: the item has no transcript.
    """
    url = item.url if isinstance(item, ItemAnswer) else item
    name = (url or "").rpartition("/")[2]
    if not name:
        state = f"item {item.item_id} is {item.status}" if isinstance(item, ItemAnswer) else f"{item!r} names no file"
        raise ValueError(f"there is no transcript to fetch: {state}")
    return f"/api/v1/files/{quote(name, safe='')}"


def _nothing(_: bytes) -> None:
    return None


def _reader(model: type[M]) -> Callable[[bytes], M]:
    def read(body: bytes) -> M:
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the body"
            raise BadAnswerError(f"not an answer of asr-queue: {where}: {error.errors()[0]['msg']}") from error

    return read


def _detail_of(body: bytes) -> str:
    """Find words for people in a gateway's JSON (`message`), an ASGI framework's (`detail`) or plain text."""
    text = body[: 4 * _MAX_DETAIL_CHARS].decode("utf-8", "replace").strip()
    try:
        document = json.loads(body)
    except ValueError:
        return "" if text.startswith("<") else " ".join(text.split())[:_MAX_DETAIL_CHARS]
    if isinstance(document, dict):
        for name in ("detail", "message", "Message"):
            if isinstance(document.get(name), str):
                return str(document[name])[:_MAX_DETAIL_CHARS]
    return ""
