"""Whose turn it is among the lanes of the priorities, so that the heavy ones are served more and no other one starves.

Each lane has a moment at which its next turn is due, and a turn puts its next one a stride later. Strides are as the
inverse of the weights, so that turns come evenly mixed and in that ratio (stride scheduling: Waldspurger and Weihl,
1995). A lane that has nothing when its turn comes gives that turn away, and claims nothing for it later.

    high   8  1 · · 1 1 · 1 1 · 1 1 · 1 | 1 ...
    normal 4  · 1 · · · 1 · · 1 · · 1 · | · ...
    low    1  · · 1 · · · · · · · · · · | · ...
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from asr_queue.domain.batches import Priority

WEIGHTS: Final[Mapping[Priority, int]] = {Priority.HIGH: 8, Priority.NORMAL: 4, Priority.LOW: 1}
"""Turns of each lane in thirteen, while all of them have messages."""


class LaneTurns:
    """Turns of some of the lanes, in the order in which they come."""

    def __init__(self, lanes: Iterable[Priority]) -> None:
        weights = {lane: WEIGHTS[lane] for lane in lanes}
        whole = math.lcm(*weights.values())
        self._strides = {lane: whole // weight for lane, weight in weights.items()}
        self._due = dict.fromkeys(weights, 0)

    def order(self) -> list[Priority]:
        """Return the lanes, first the one whose turn it is; a lane with nothing gives its turn to the next."""
        return sorted(self._due, key=lambda lane: (self._due[lane], self._strides[lane]))

    def take(self, lane: Priority) -> None:
        """Note that a lane has taken the turn, since those before it in the order had nothing.

        A lane that always has something is passed over by each other one at most as often as that one's weight goes
        into its own, and once more: `low` by 14 turns at most, `normal` by 4, `high` by 2.
        """
        now = self._due[lane]
        for each in self.order():
            self._due[each] = now + self._strides[each]
            if each is lane:
                return
