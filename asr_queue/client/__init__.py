"""The client of asr-queue.

    from asr_queue.client import Client

    with Client("http://127.0.0.1:8000", api_key) as client:
        for result in client.transcribe(["talk.mp3", "interview.m4a"], timestamps=True):
            print(result.path, result.transcript.text if result.transcript else result.error)

`AsyncClient` is the same for asyncio. `asr_queue.client.errors` has the tree of everything that may be raised.
"""

from asr_queue.client.aio import AsyncClient
from asr_queue.client.blocking import Client
from asr_queue.client.errors import (
    ApiError,
    BadAnswerError,
    DeadlineError,
    ItemFailedError,
    QueueClientError,
    SourceError,
    TransportError,
)
from asr_queue.client.pacing import PollPolicy, RetryPolicy
from asr_queue.client.protocol import speech_item, transcribe_item
from asr_queue.client.results import FileProgress, FileState, ItemResult, Progress, SpeechResult
from asr_queue.domain.batches import BatchStatus, Priority
from asr_queue.domain.speech import SpeechFormat
from asr_queue.wire.api import (
    BatchAnswer,
    ItemAnswer,
    QueueAnswer,
    RetryAnswer,
    StatusAnswer,
    SubmitAnswer,
    SubmitItem,
    UploadAnswer,
    VoiceAnswer,
)
from asr_queue.wire.transcript import Transcript, TranscriptWord

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadAnswerError",
    "BatchAnswer",
    "BatchStatus",
    "Client",
    "DeadlineError",
    "FileProgress",
    "FileState",
    "ItemAnswer",
    "ItemFailedError",
    "ItemResult",
    "PollPolicy",
    "Priority",
    "Progress",
    "QueueAnswer",
    "QueueClientError",
    "RetryAnswer",
    "RetryPolicy",
    "SourceError",
    "SpeechFormat",
    "SpeechResult",
    "StatusAnswer",
    "SubmitAnswer",
    "SubmitItem",
    "Transcript",
    "TranscriptWord",
    "TransportError",
    "UploadAnswer",
    "VoiceAnswer",
    "speech_item",
    "transcribe_item",
]
