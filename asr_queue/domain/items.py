"""One item: a recording to transcribe, or a text to say, and how far it has come.

    queued ──start──▶ processing ──finish──▶ done
       │                 │  ▲ └──start (a redelivery)
       │                 │  └──┘
       └──────fail───────┴──fail──────────▶ error

A final item never changes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from asr_queue.domain.files import TRANSCRIPT_TYPE
from asr_queue.domain.speech import SpeechFormat

CANCELLED: Final = "cancelled"
"""Code of the error of an item that was not to be done any more; no fault of anybody's."""


class Operation(StrEnum):
    """What is to be done with an item; each has a queue of its own."""

    TRANSCRIBE = "transcribe"
    VOICE_CLONE = "voice_clone"


class ItemStatus(StrEnum):
    """The states of an item, as the wire names them."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    ERROR = "error"

    @property
    def is_final(self) -> bool:
        """Whether an item in this state never changes again."""
        return self in (ItemStatus.DONE, ItemStatus.ERROR)


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item failed."""

    code: str
    """Stable and machine-readable."""
    message: str
    """In words a person can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a batch, as its row has it."""

    batch_id: str
    index: int
    """Place in the batch, from 0."""
    item_id: str
    tenant: str
    operation: Operation
    upload_id: str
    """File id of `ref_audio`; the upload is pinned by this item until it is final."""
    upload_key: str
    """Object key of the upload."""
    created_at: datetime
    custom_id: str | None = None
    """Echoed back, never interpreted."""
    text: str = ""
    """What to say, for `voice_clone`; forgotten when the item is done. One that failed may be tried again."""
    speech_format: SpeechFormat = SpeechFormat.WAV
    """As what it is to be said, for `voice_clone`."""
    said: str = ""
    """What is said in the sample, where `ref_audio` is a named voice that tells; forgotten when the item is final.

    A worker finds it here, for `gpu_worker.engine.Voice.said`: it asks nobody for the voice.
    """
    prompt: str = ""
    """Context and rare words for the engine; forgotten when the item is done. One that failed may be tried again."""
    upload_bytes: int = 0
    """Size of the upload, from which its length is estimated until it is decoded."""
    upload_type: str = ""
    """Content type of the upload, as the client told it."""
    language: str | None = None
    """Language code taken as given, or None to identify it."""
    return_timestamps: bool = False
    status: ItemStatus = ItemStatus.QUEUED
    attempt: int = 0
    """Times the item was started."""
    started_at: datetime | None = None
    """When it was started last."""
    finished_at: datetime | None = None
    audio_s: float | None = None
    """Length of the audio, known once it was decoded."""
    device_s: float | None = None
    """The item's share of the seconds that the device spent in the passes that ended it."""
    micro_batch: int | None = None
    """Most chunks that shared a pass with it, itself included."""
    result_key: str | None = None
    """Object key of the one visible result; set exactly when `done`."""
    error: ItemError | None = None
    """Set exactly when the status is `error`."""
    is_counted: bool = False
    """Whether its tenant's usage counts it until it is final."""

    @property
    def result_name(self) -> str:
        """Name of the result's file: the last part of the item's `url`."""
        return f"queue_{self.operation}_{self.item_id}.{self._result_suffix}"

    @property
    def result_type(self) -> str:
        """Media type of the result."""
        return self.speech_format.content_type if self.operation is Operation.VOICE_CLONE else TRANSCRIPT_TYPE

    @property
    def _result_suffix(self) -> str:
        return self.speech_format if self.operation is Operation.VOICE_CLONE else "json"

    def attempt_key(self) -> str:
        """Object key that this attempt, and no other, writes its result under."""
        return f"{results_prefix(self.tenant, self.batch_id)}{self.item_id}.{self.attempt}.{self._result_suffix}"

    def done(
        self, *, now: datetime, audio_s: float, device_s: float | None = None, micro_batch: int | None = None
    ) -> "Item":
        """Return the item as done with the result of this attempt."""
        ended = self._ended(ItemStatus.DONE, now, audio_s, device_s, micro_batch)
        return replace(ended, result_key=self.attempt_key())

    def failed(
        self,
        error: ItemError,
        *,
        now: datetime,
        audio_s: float | None = None,
        device_s: float | None = None,
        micro_batch: int | None = None,
    ) -> "Item":
        """Return the item as failed. Unless it was cancelled, it keeps its text and prompt for a retry."""
        ended = replace(self._ended(ItemStatus.ERROR, now, audio_s, device_s, micro_batch), error=error)
        return ended if error.code == CANCELLED else replace(ended, text=self.text, prompt=self.prompt)

    def has_outcome_of(self, other: "Item") -> bool:
        """Whether both ended by the same try of the same attempt, as a row does after a lost reply."""
        return self.status.is_final and self._outcome == other._outcome

    @property
    def _outcome(self) -> tuple[ItemStatus, int, str | None]:
        # The code tells an attempt that failed from one that was cancelled.
        return self.status, self.attempt, None if self.error is None else self.error.code

    def _ended(
        self, status: ItemStatus, now: datetime, audio_s: float | None, device_s: float | None, micro_batch: int | None
    ) -> "Item":
        ended = replace(self, status=status, finished_at=now, audio_s=audio_s, text="", said="", prompt="")
        return replace(ended, device_s=device_s, micro_batch=micro_batch)


def tenant_results_prefix(tenant: str) -> str:
    """Prefix of every object that any attempt at any item of a tenant may have written."""
    return f"results/{tenant}/"


def results_prefix(tenant: str, batch_id: str) -> str:
    """Prefix of those of one batch."""
    return f"{tenant_results_prefix(tenant)}{batch_id}/"


def order_key(tenant: str, batch_id: str) -> str:
    """Object key of what is kept of a batch of lines beside it; it goes with the results."""
    return f"{results_prefix(tenant, batch_id)}order.json"


def pins_by_upload(items: Iterable[Item]) -> dict[str, frozenset[str]]:
    """Return, by upload, the ids of the items that need it."""
    pins: dict[str, set[str]] = defaultdict(set)
    for item in items:
        pins[item.upload_id].add(item.item_id)
    return {upload_id: frozenset(item_ids) for upload_id, item_ids in pins.items()}
