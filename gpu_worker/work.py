"""The values that travel down the pipe."""

from dataclasses import dataclass, field

from asr_queue.domain.items import Item
from asr_queue.domain.transcript import Word
from asr_queue.errors import AsrQueueError
from asr_queue.ports import Delivery
from asr_queue.wire.messages import ItemMessage
from gpu_worker.engine import Recognition, Samples


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
class Chunk:
    """Audio cut from one item before the model."""

    claimed: Claimed
    position: int
    """Place among the item's chunks, from 0."""
    of: int
    """How many chunks the item was cut into, at least 1."""
    offset_s: float
    """Where the chunk begins in the item's audio."""
    duration_s: float
    samples: Samples = field(repr=False)
    has_speech: bool | None = None
    """What the engine's `has_speech` said of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A decoded item, cut to what the engine takes."""

    claimed: Claimed
    audio_s: float
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A chunk and what was said in it."""

    chunk: Chunk
    recognition: Recognition
    device_s: float = 0.0
    """Its share of the seconds that the device spent in the passes it was in."""
    micro_batch: int = 1
    """Chunks in the pass that recognised it."""


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
    """An item's whole text, and its word times if asked for."""

    claimed: Claimed
    audio_s: float
    text: str
    language: str | None
    """Language code."""
    language_probability: float | None = None
    """How sure the engine was of it, over all that was said; None where it was given, or the engine does not say."""
    device_s: float
    """The item's share of the seconds that the device spent."""
    micro_batch: int
    """Most chunks that shared a pass with it."""
    words: tuple[Word, ...] | None
    timestamps_unavailable: str | None = None
    """Why there are no word times though they were asked for; for people."""
    is_truncated: bool = False
    """Whether the text of any chunk may lack its end."""
    is_repetitive: bool = False
    """Whether the model ran in circles in any chunk."""
