"""The meeting point of the stages that prepare and the one that infers: micro-batches, formed as late as possible."""

import threading
from typing import Final

from gpu_worker.pipeline.turns import Turns
from gpu_worker.work import Chunk, Prepared

_LINGER_S: Final = 0.05
"""How long an idle engine waits for company that is being prepared; then it goes with what there is."""
_MOST_WAITING_S: Final = 1800.0
"""Audio that may wait beyond the longest item, in seconds: 115 MB of mapped samples at 16 kHz."""


class MicroBatcher:
    """Items on their way to the engine, from their receipt on; safe to use from several threads.

    What the engine takes next is decided at the moment it asks, so that everything ready by then has its chance; the
    decision takes microseconds, and the engine never waits while a chunk does, the linger aside.
    """

    def __init__(self, *, most: int) -> None:
        """Take how many chunks a micro-batch may hold."""
        self._most = most
        self._expected: set[str] = set()
        self._turns = Turns()
        self._is_closed = False
        self._changed = threading.Condition()

    def expect(self, key: str) -> bool:
        """Announce an item that is going to be prepared; False, where the line is closed."""
        with self._changed:
            if not self._is_closed:
                self._expected.add(key)
            return not self._is_closed

    def put(self, prepared: Prepared) -> None:
        """Let an announced item's chunks wait for their turn; nothing happens where the line is closed."""
        with self._changed:
            self._expected.discard(prepared.claimed.key)
            if not self._is_closed:
                self._turns.add(prepared.chunks)
            self._changed.notify_all()

    def withdraw(self, key: str) -> None:
        """Forget an item, announced or waiting: it ended, and no more of it may be passed on."""
        with self._changed:
            self._expected.discard(key)
            self._turns.drop(key)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until less than half an hour of audio waits beyond the longest item, or the line is closed.

        A single recording of any length never blocks the others; it may wait whole, in files mapped into memory.
        """
        with self._changed:
            self._changed.wait_for(self._has_room)

    def take(self) -> tuple[Chunk, ...] | None:
        """Wait for chunks and return the next micro-batch; None, once the line is closed."""
        with self._changed:
            while not self._is_closed:
                self._changed.wait_for(lambda: self._is_closed or len(self._turns))
                self._changed.wait_for(self._is_worth_going, _LINGER_S)
                if len(self._turns):
                    micro_batch = tuple(self._turns.take(self._most))
                    self._changed.notify_all()
                    return micro_batch
            return None

    def close(self) -> list[str]:
        """Close the line; return the keys of all items that are announced or have chunks left in it."""
        with self._changed:
            self._is_closed = True
            rest = [*self._turns.keys(), *self._expected]
            self._expected.clear()
            for key in rest:
                self._turns.drop(key)
            self._changed.notify_all()
            return rest

    def _has_room(self) -> bool:
        return self._is_closed or self._turns.audio_beyond_longest_s() < _MOST_WAITING_S

    def _is_worth_going(self) -> bool:
        return self._is_closed or len(self._turns) >= self._most or not self._expected
