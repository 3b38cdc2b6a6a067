"""Whose turn it is, where operations share a device that may not hold all of their models: pure, and without a memory.

    the model that is here has work ──▶ it goes on, until another operation presses
    it has none                     ──▶ another operation's model comes at once

Service is exhaustive, as in a polling system with set-up times: what a swap costs is spread over all that waits. An
operation presses once its slack is no more than what has to happen before the last of what waits for it now begins.
Both callers, the one that receives and the one that starts passes, should be given the same picture: what waits in the
queues and what is at hand, together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from asr_queue.domain.items import Operation

_PASSES_BEFORE: Final = 2
"""Passes of the model that is here before it can leave: the one under way, and one for those that last longer than the
mean."""
_CHUNKS_A_PASS: Final = 16
"""As a rule: the default of the worker's `micro_batch`. Fewer make an operation press somewhat late, more somewhat
early."""
_LEAST_STAY_SWAPS: Final = 10
"""How many times what a swap costs a model works before it has to leave under overload. Swaps then take at most an
eleventh of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What waits of one operation, as this worker knows it."""

    waiting: int
    """Chunks at hand and messages in the queues; 0: nothing."""
    slack_s: float
    """Seconds until the first of them reaches its bound; negative: past it; infinite where nothing waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What an operation's turn takes, measured."""

    swap_s: float
    """Seconds to bring its model onto the device; 0: it is there."""
    pass_s: float
    """Seconds that a pass of it has taken lately, in the mean."""


def choose(
    demands: Mapping[Operation, Demand],
    costs: Mapping[Operation, Costs],
    *,
    current: Operation | None,
    stayed_s: float = 0.0,
) -> Operation | None:
    """Return the operation whose turn it is; None where nothing waits.

    Where every model is on the device, it is the one with the least slack: swaps cost nothing, so there is nothing to
    weigh against the wait. Else the model that is here works until it has nothing to do, or another operation presses.
    Then that one's turn comes in time for all that waits of it to begin within its bound, if the device can do that.

    Under overload it cannot: the other is past its bound whatever is done, or the one here presses as well. Then a
    model stays for ten times what the other one's swap costs, and the bound is no promise any more: an operation waits
    for its bound or for that stay, whichever is longer, and what it has at that time may take several turns.

    Args:
        demands: of each operation that can be served.
        costs: of at least those, and the current one.
        current: the operation that ran last; None before the first pass.
        stayed_s: seconds since the first pass of the current operation's turn began.
    """
    waiting = {operation: demand for operation, demand in demands.items() if demand.waiting}
    here = [operation for operation in waiting if costs[operation].swap_s == 0]
    away = [operation for operation in waiting if costs[operation].swap_s > 0]
    if not here:
        return min(away, key=lambda one: _spare_s(waiting[one], costs[one]), default=None)
    first = min(here, key=lambda one: waiting[one].slack_s)
    pass_s = costs[first if current is None else current].pass_s

    def presses(operation: Operation) -> bool:
        return _spare_s(waiting[operation], costs[operation]) <= _PASSES_BEFORE * pass_s

    for other in sorted(away, key=lambda one: _spare_s(waiting[one], costs[one])):
        swap_s = costs[other].swap_s
        is_overload = waiting[other].slack_s < swap_s or presses(first)
        if presses(other) and (not is_overload or stayed_s >= _LEAST_STAY_SWAPS * swap_s):
            return other
    return first


def _spare_s(demand: Demand, costs: Costs) -> float:
    """Return how long an operation's turn can be put off, so that all that waits of it begins before its bound."""
    return demand.slack_s - costs.swap_s - ceil(demand.waiting / _CHUNKS_A_PASS) * costs.pass_s
