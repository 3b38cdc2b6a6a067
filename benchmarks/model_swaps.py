"""Two operations on a device that holds one model: what the scheduler makes of mixed traffic.

    python -m benchmarks.model_swaps           # simulated, half a minute, into benchmarks/results/model_swaps.md

Simulated is the traffic, the time and the worker's loop (`benchmarks/swaps/simulate.py`); the policy and what it knows
of the queues are the worker's own. It stands beside first come, first served, and beside a time that no worker whatever
can beat (`oracle_s` in `benchmarks/swaps/traffic.py`).
"""

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from asr_queue.domain.items import Operation
from benchmarks.report import publish, table
from benchmarks.swaps.simulate import Run, Simulation, oldest_first
from benchmarks.swaps.traffic import MICRO_BATCH, Sent, bursts, interleaved, oracle_s, paced
from gpu_worker.pipeline.dispatch import Choose
from gpu_worker.scheduler import choose

BOUND_S = 60.0
SWAPS_S = (3.0, 0.25)
"""Unloading one model and loading the other takes 3 to 5 s; a copy of a model of 1.7B into an arena, 0.25 s at most."""
PASS_S = {Operation.TRANSCRIBE: 0.25, Operation.VOICE_CLONE: 1.0}
"""Sixteen clips of 30 s by Qwen3-ASR-1.7B, an estimate; of speech, an assumption."""
SEEDS = 12
_PACED_ITEMS = 4000

Traffic = Callable[[random.Random], Sequence[Sent]]
TRAFFIC: dict[str, Traffic] = {
    "400 interleaved 1:1": lambda _: interleaved(400),
    "2,000 interleaved 1:1": lambda _: interleaved(2000),
    **{
        f"{ratio}:1 paced, {utilisation:.0%} busy": partial(
            lambda ratio, utilisation, chance: paced(
                _PACED_ITEMS, utilisation=utilisation, pass_s=PASS_S, ratio=ratio, chance=chance
            ),
            ratio,
            utilisation,
        )
        for ratio in (1, 10)
        for utilisation in (0.3, 0.6, 0.8, 0.9)
    },
    "20 bursts of 200": lambda chance: bursts(20, items=200, every_s=30, chance=chance),
}
_HEAD = (
    "traffic",
    "swap s",
    "least s",
    "makespan",
    "FCFS",
    "swaps",
    "FCFS",
    "fewer",
    "longest wait s",
    "p99 s",
    "late",
    "FCFS",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one piece of traffic came to."""

    oracle_s: float
    ours: Run
    first_come: Run


def outcome(sent: Sequence[Sent], *, swap_s: float) -> Outcome:
    """Have the traffic served by both policies."""

    def served(policy: Choose) -> Run:
        return Simulation(sent, choose=policy, pass_s=PASS_S, swap_s=swap_s, bound_s=BOUND_S).run()

    return Outcome(oracle_s(sent, pass_s=PASS_S, swap_s=swap_s), served(choose), served(oldest_first))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share does not exceed; 0 of none."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)] if values else 0.0


def row(name: str, traffic: Traffic, swap_s: float) -> list[str]:
    """Return what the seeds came to: ours at its worst, first come, first served at its best."""
    outcomes = [outcome(traffic(random.Random(seed)), swap_s=swap_s) for seed in range(SEEDS)]
    ours = [one.ours for one in outcomes]
    first_come = [one.first_come for one in outcomes]

    def waits(share: float) -> str:
        worst_s = [max(quantile(run.waits_s[operation], share) for run in ours) for operation in Operation]
        return " / ".join(f"{seconds:.1f}" for seconds in worst_s)

    return [
        name,
        f"{swap_s:g}",
        f"{max(one.oracle_s for one in outcomes):.0f}",
        f"{max(one.ours.makespan_s / one.oracle_s for one in outcomes):.2f}",
        f"{min(one.first_come.makespan_s / one.oracle_s for one in outcomes):.2f}",
        str(max(run.swaps for run in ours)),
        str(min(run.swaps for run in first_come)),
        f"{min(one.first_come.swaps / one.ours.swaps for one in outcomes):.1f}",
        waits(1.0),
        waits(0.99),
        str(max(run.late(BOUND_S) for run in ours)),
        str(min(run.late(BOUND_S) for run in first_come)),
    ]


def report() -> str:
    """Return the result in words and a table."""
    rows = [row(name, traffic, swap_s) for swap_s in SWAPS_S for name, traffic in TRAFFIC.items()]
    passes = " and ".join(f"{seconds:g} s of {operation}" for operation, seconds in PASS_S.items())
    return f"""# Two models on a device that holds one

{table(_HEAD, rows)}

- Simulated: passes of up to {MICRO_BATCH} items take {passes}, however many they hold; \
receives bring ten, and the other
  queue is looked at every second. Seconds of swaps and passes are inputs, not results.
- *least*: a time before which nobody can have done everything, who knows what will come and whom no bound holds: full
  micro-batches and one swap after each moment. *makespan* is the time to the last item's end, in such times.
- *FCFS*: the same worker, which takes the operation whose first item has waited longest. *fewer*: its swaps for each of
  ours. A swap while nothing else waits costs nobody anything, and at little traffic most are of that kind.
- Waits are from the sending to the begin of the pass, of `transcribe` / `voice_clone`. *late*: items that waited for
  more than the bound of {BOUND_S:.0f} s. Of 2,000 at once some have to: the work alone takes longer.
- Of {SEEDS} seeds the worst for ours and the best for FCFS, column by column.
"""


def main() -> None:
    """Simulate, print and keep the result."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    publish("model_swaps", report())


if __name__ == "__main__":
    main()
