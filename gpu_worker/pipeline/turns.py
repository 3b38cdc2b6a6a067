"""Which chunks go together, and whose turn it is."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from asr_queue.domain.batches import Priority
from gpu_worker.demand import priority_of
from gpu_worker.work import Chunk


class Turns:
    """Chunks that wait, grouped when they are taken.

    Items take turns. The item whose turn it is brings its next chunk; the other places of the micro-batch go to the
    chunks nearest to that one in duration, whosever they are, since the engine pads all to the longest. An item that
    has chunks left then goes to the end of the line. So an item waits at most for as many micro-batches as there were
    items before it, however long they are, and a short clip does not wait for a whole lecture.

    An item that comes again after an earlier delivery without outcome shares its micro-batches with no other: if it
    was what killed the process, it does so alone.
    """

    def __init__(self) -> None:
        self._line: dict[str, deque[Chunk]] = {}

    def __len__(self) -> int:
        """Count the chunks that wait."""
        return sum(len(chunks) for chunks in self._line.values())

    def waiting(self) -> list[str]:
        """Return the keys of the items that have chunks waiting, next in line first."""
        return list(self._line)

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Put an item at the end of the line, with all its chunks."""
        waiting = deque(chunks)
        self._line[waiting[0].claimed.key] = waiting

    def drop(self, key: str) -> None:
        """Forget what waits of an item, if anything does."""
        self._line.pop(key, None)

    def audio_beyond_longest_s(self) -> float:
        """Seconds of audio that wait, the item with most of it left out."""
        seconds = [sum(chunk.duration_s for chunk in chunks) for chunks in self._line.values()]
        return sum(seconds) - max(seconds, default=0.0)

    def oldest_sent_at(self) -> dict[Priority, datetime]:
        """Return when the message was sent whose item has waited longest, for each priority of which anything waits."""
        oldest: dict[Priority, datetime] = {}
        for chunks in self._line.values():
            delivery = chunks[0].claimed.delivery
            priority = priority_of(delivery)
            oldest[priority] = min(oldest.get(priority, delivery.sent_at), delivery.sent_at)
        return oldest

    def take(self, most: int) -> list[Chunk]:
        """Remove and return the next micro-batch: 1 to `most` chunks. Something must wait."""
        first = next(iter(self._line.values()))[0]
        micro_batch = [first, *self._nearest(first, most - 1)]
        for chunk in micro_batch:
            self._line[chunk.claimed.key].remove(chunk)
        for key in dict.fromkeys(chunk.claimed.key for chunk in micro_batch):
            waiting = self._line.pop(key)
            if waiting:
                self._line[key] = waiting
        return micro_batch

    def _nearest(self, first: Chunk, most: int) -> list[Chunk]:
        company = [
            chunk
            for chunks in self._line.values()
            for chunk in chunks
            if chunk is not first and _may_share(first, chunk)
        ]
        # The sort is stable: of equal durations, the next in line.
        company.sort(key=lambda chunk: abs(chunk.duration_s - first.duration_s))
        return company[:most]


def _may_share(one: Chunk, other: Chunk) -> bool:
    if one.claimed.key == other.claimed.key:
        return True
    return not (one.claimed.is_redelivered or other.claimed.is_redelivered)
