"""What becomes of each call, drawn from a seed.

The n-th call of an action has the same fate in every run of a seed. Which call is the n-th, time decides.
"""

import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from tests.faults.calls import Call


class Fate(StrEnum):
    """Names of the report."""

    AS_ASKED = "as asked"
    # instead of taking effect
    THROTTLED = "throttled, or in the way of another transaction"
    FAILED = "answered 5xx, nothing happened"
    RESET = "connection reset before it took effect"
    SILENT = "timed out, nothing happened"
    # after taking effect
    REPLY_LOST = "took effect, connection reset"
    REPLY_CUT = "took effect, half of the reply"
    DONE_BUT_FAILED = "took effect, answered 5xx"
    DONE_BUT_SILENT = "took effect, timed out"
    # before taking effect
    SLOW = "delayed"
    LATE = "answered 5xx, took effect later"
    TWICE = "took effect twice"
    # what AWS may do without failing
    STALE = "index read that is out of date"
    MISCOUNTED = "queue counted as empty"
    LOST = "message lost"
    DOUBLED = "message doubled"
    DELAYED = "message delayed"
    SHUFFLED = "messages reordered"
    REFUSED = "message refused, others of the call taken"
    DELIVERED_AGAIN = "message delivered again while it was at work"
    NOT_DELETED = "message deleted, and yet there"


_FAILURES: Final = (
    Fate.THROTTLED,
    Fate.FAILED,
    Fate.RESET,
    Fate.SILENT,
    Fate.REPLY_LOST,
    Fate.REPLY_CUT,
    Fate.DONE_BUT_FAILED,
    Fate.DONE_BUT_SILENT,
    Fate.SLOW,
    Fate.LATE,
)
_FATES_OF_MESSAGES: Final[Mapping[str, tuple[Fate, ...]]] = {
    "SendMessageBatch": (Fate.LOST, Fate.DOUBLED, Fate.DELAYED, Fate.SHUFFLED, Fate.REFUSED, Fate.TWICE),
    "ReceiveMessage": (Fate.SHUFFLED, Fate.DELIVERED_AGAIN),
    "DeleteMessageBatch": (Fate.NOT_DELETED, Fate.REFUSED),
    "ChangeMessageVisibilityBatch": (Fate.REFUSED,),
    "GetQueueAttributes": (Fate.MISCOUNTED,),
}
MESSAGE_FATES: Final = frozenset(fate for fates in _FATES_OF_MESSAGES.values() for fate in fates)
_RATES: Final = (0.01, 0.03, 0.1, 0.2, 0.35)
_LEAST_RATES: Final[Mapping[str, float]] = {"SendMessageBatch": 0.3, "DeleteMessageBatch": 0.2, "ReceiveMessage": 0.1}
"""Of the few calls that carry messages."""
_SILENCE_RATE: Final = 0.1
"""Of the time-outs that are drawn, those that are carried out: each holds a caller up for long."""


class Fates:
    """The fates of one seed's calls, until `end`; after that all goes as asked."""

    def __init__(self, seed: int) -> None:
        self.carried_out: Counter[tuple[Fate, str]] = Counter()
        """How often each fate met each action."""
        self._seed = seed
        self._chance = random.Random(f"{seed} fates")
        self._rate = self._chance.choice(_RATES)
        # Some of the kinds only, others in each seed: a fault that hides another one does not always hide it.
        kinds = [*_FAILURES, *MESSAGE_FATES, Fate.STALE]
        self._kinds = set(self._chance.sample(sorted(kinds), self._chance.randint(2, len(kinds))))
        self._ordinals: Counter[str] = Counter()
        self._has_ended = False

    def end(self) -> None:
        """Let all go as asked from now on."""
        self._has_ended = True

    def next(self, call: Call) -> Fate:
        """Return the fate of this call."""
        if self._has_ended:
            return Fate.AS_ASKED
        self._ordinals[call.action] += 1
        return self._drawn(call)

    def note(self, fate: Fate, call: Call) -> None:
        """Take note that a fate was carried out."""
        self.carried_out[fate, call.action] += 1

    def _drawn(self, call: Call) -> Fate:
        chance = random.Random(f"{self._seed} {call.action} {self._ordinals[call.action]}")
        if chance.random() >= max(self._rate, _LEAST_RATES.get(call.action, 0.0)):
            return Fate.AS_ASKED
        possible = [*_FAILURES, *_FATES_OF_MESSAGES.get(call.action, ()) * 3]
        if call.action == "Query" and b'"IndexName"' in call.body:
            possible += [Fate.STALE] * 3
        kinds = [fate for fate in possible if fate in self._kinds]
        if not kinds:
            return Fate.AS_ASKED
        fate = chance.choice(kinds)
        if fate in (Fate.SILENT, Fate.DONE_BUT_SILENT) and chance.random() >= _SILENCE_RATE:
            return Fate.SLOW
        return fate
