"""The values that travel down the pipe."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asr_queue.domain.items import Item, Operation
from asr_queue.errors import AsrQueueError
from asr_queue.ports import Delivery
from asr_queue.wire.messages import ItemMessage
from gpu_worker.engine import Samples, SpeechInput, Voice, VoiceInput

ChunkT = TypeVar("ChunkT", bound="Chunk")
OutT = TypeVar("OutT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A delivery whose message could be read, and which this worker holds from now on."""

    message: ItemMessage
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An item that this worker has started, and the delivery that brought it."""

    item: Item
    delivery: Delivery

    @property
    def key(self) -> str:
        """What tells this attempt from every other one in the pipe: the receipt handle; never to be logged."""
        return self.delivery.receipt_handle

    @property
    def is_redelivered(self) -> bool:
        """Whether an earlier delivery ended without an outcome: perhaps this item was the reason."""
        return self.delivery.receive_count > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk(ABC):
    """What was cut from one item for one input of its engine."""

    claimed: Claimed
    position: int
    """Place among the item's chunks, from 0."""
    of: int
    """How many chunks the item was cut into, at least 1."""
    duration_s: float
    """Seconds of audio that it holds, or is expected to become; greater than 0."""

    @property
    def operation(self) -> Operation:
        """Whose engine it goes to."""
        return self.claimed.item.operation

    @abstractmethod
    def engine_input(self) -> SpeechInput | VoiceInput:
        """Return what the engine is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechChunk(Chunk):
    """Audio to be transcribed."""

    offset_s: float
    """Where the chunk begins in the item's audio."""
    samples: Samples = field(repr=False)
    has_speech: bool | None = None
    """What the engine's `has_speech` said of them."""

    def engine_input(self) -> SpeechInput:
        """Return the audio, and what is wanted of it."""
        item = self.claimed.item
        return SpeechInput(
            samples=self.samples,
            language=item.language,
            want_words=item.return_timestamps,
            prompt=item.prompt,
            has_speech=self.has_speech,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChunk(Chunk):
    """A piece of text to be said."""

    text: str = field(repr=False)
    voice: Voice

    def engine_input(self) -> VoiceInput:
        """Return the text and the voice."""
        return VoiceInput(text=self.text, voice=self.voice, language=self.claimed.item.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An item, cut to what its engine takes."""

    claimed: Claimed
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed(Generic[ChunkT, OutT]):
    """A chunk and what the engine made of it."""

    chunk: ChunkT
    output: OutT
    device_s: float = 0.0
    """Its share of the seconds that the device spent in the passes it was in."""
    micro_batch: int = 1
    """Chunks in the pass that processed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An item that ended, or must come again, for this reason; it rides the same pipe to the end."""

    claimed: Claimed
    error: AsrQueueError
    """CallerError: the item ends `error`. RetryableError or any other: the message is hidden and comes again."""
    device_s: float | None = None
    """The item's share of the seconds that the device spent; None where it came to no pass."""
    micro_batch: int | None = None
    """Most chunks that shared a pass with it; None where it came to no pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A whole item, processed."""

    claimed: Claimed
    audio_s: float
    """Length of the audio that came in, or was made."""
    device_s: float
    """The item's share of the seconds that the device spent."""
    micro_batch: int
    """Most chunks that shared a pass with it."""
    render: Callable[[], bytes]
    """Makes the result's file; work for a processor, so not done before it is published."""
