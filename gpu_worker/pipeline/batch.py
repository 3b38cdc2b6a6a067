"""The meeting point of the stages that prepare and the one that infers: micro-batches, formed as late as possible."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Operation
from gpu_worker.pipeline.turns import Turns
from gpu_worker.work import Chunk, Prepared

_LINGER_S: Final = 0.05
"""How long an idle engine waits for company that is being prepared; then it goes with what there is."""
_MOST_WAITING_S: Final = 1800.0
"""Audio that may wait beyond the longest item, in seconds: 115 MB of mapped samples at 16 kHz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """What the worker has of one operation: items that are being prepared, and chunks that are ready."""

    expected: int
    """Items."""
    ready: int
    """Chunks; with `expected` together more than nothing."""
    oldest_sent_at: Mapping[Priority, datetime]
    """When the message was sent whose item has waited longest, for each priority of which anything is ready."""


ChoosePass: TypeAlias = Callable[[Mapping[Operation, AtHand]], Operation]
"""Says whose chunks go next, of the operations that have anything at hand: at least one."""


class MicroBatcher:
    """Items on their way to the engines, from their receipt on; safe to use from several threads.

    What goes next is decided at the moment the device is free, so that everything ready by then has its chance; the
    decision takes microseconds, and the device never waits while a chunk does, the linger aside, and the choice to wait
    for an operation that has items in preparation. A micro-batch is of one operation.
    """

    def __init__(self, *, most: Mapping[Operation, int], choose: ChoosePass) -> None:
        """Take how many chunks a micro-batch of each operation may hold, and who decides between them."""
        self._most = dict(most)
        self._choose = choose
        self._expected: dict[str, Operation] = {}
        self._turns = {operation: Turns() for operation in most}
        self._is_closed = False
        self._changed = threading.Condition()

    def expect(self, key: str, operation: Operation) -> bool:
        """Announce an item that is going to be prepared; False, where the line is closed."""
        with self._changed:
            if not self._is_closed:
                self._expected[key] = operation
            return not self._is_closed

    def put(self, prepared: Prepared) -> None:
        """Let an announced item's chunks wait for their turn; nothing happens where the line is closed."""
        with self._changed:
            self._expected.pop(prepared.claimed.key, None)
            if not self._is_closed:
                self._turns[prepared.claimed.item.operation].add(prepared.chunks)
            self._changed.notify_all()

    def withdraw(self, key: str) -> None:
        """Forget an item, announced or waiting: it ended, and no more of it may be passed on."""
        with self._changed:
            self._forget(key)
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
                self._changed.wait_for(lambda: self._is_closed or any(map(len, self._turns.values())))
                if self._is_closed:
                    break
                operation = self._choose(self._at_hand())
                self._changed.wait_for(partial(self._is_worth_going, operation), _LINGER_S)
                if len(self._turns[operation]):
                    micro_batch = tuple(self._turns[operation].take(self._most[operation]))
                    self._changed.notify_all()
                    return micro_batch
            return None

    def close(self) -> list[str]:
        """Close the line; return the keys of all items that are announced or have chunks left in it."""
        with self._changed:
            self._is_closed = True
            waiting = [key for turns in self._turns.values() for key in turns.waiting()]
            rest = [*waiting, *self._expected]
            for key in rest:
                self._forget(key)
            self._changed.notify_all()
            return rest

    def _forget(self, key: str) -> None:
        self._expected.pop(key, None)
        for turns in self._turns.values():
            turns.drop(key)

    def _at_hand(self) -> dict[Operation, AtHand]:
        expected = list(self._expected.values())
        return {
            operation: AtHand(
                expected=expected.count(operation), ready=len(turns), oldest_sent_at=turns.oldest_sent_at()
            )
            for operation, turns in self._turns.items()
            if len(turns) or operation in expected
        }

    def _has_room(self) -> bool:
        waiting_s = sum(turns.audio_beyond_longest_s() for turns in self._turns.values())
        return self._is_closed or waiting_s < _MOST_WAITING_S

    def _is_worth_going(self, operation: Operation) -> bool:
        is_full = len(self._turns[operation]) >= self._most[operation]
        return self._is_closed or is_full or operation not in self._expected.values()
