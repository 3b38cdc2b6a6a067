"""What a worker says of itself, and for how long that is believed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asr_queue.domain.items import Operation

BEAT_S: Final = 5.0
"""How often a worker reports."""
ALIVE_S: Final = 3 * BEAT_S
"""How long a worker is taken to live after its last report: two may get lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker as it was at `seen_at`. "Lately" is the last minute."""

    worker_id: str
    """Drawn when its process started."""
    engine: str
    """Its name; with one that speaks, `whisper + pocket-tts`."""
    started_at: datetime
    seen_at: datetime
    held_items: int
    """Items that it has received and that have not ended."""
    micro_batch_max: int
    """Most chunks of one pass."""
    micro_batch_fill: float | None = None
    """Mean share of those places that its passes of lately filled, 0 to 1; None where there was no pass."""
    audio_s_per_s: float | None = None
    """Seconds of audio for each second that the device computed, in the passes of lately or, where there was none, in
    the last ones; None before the first."""
    busy: float = 0.0
    """Share of its time of lately that the device computed, 0 to 1."""
    items_done: int = 0
    """Items that it ended since its start, failed ones too."""
    audio_s_done: float = 0.0
    """Seconds of audio of those."""
    resident: frozenset[Operation] = frozenset()
    """The operations whose engines are on its device; empty where it does not say, as of older workers."""
    swaps: int = 0
    """Times that an engine had to come to the device, because another one had taken its place."""
    mean_swap_s: float | None = None
    """Seconds that one took; None before the first."""
    device_bytes: int | None = None
    """What the resident engines hold of the device's memory; None where none of them measures that."""

    def is_alive(self, now: datetime) -> bool:
        """Whether the report is young enough to be believed."""
        return (now - self.seen_at).total_seconds() < ALIVE_S
