"""Two operations on a device that holds one model: what the scheduler makes of mixed traffic.

    python -m benchmarks.model_swaps           # simulated, half a minute, into benchmarks/results/model_swaps.md
    python -m benchmarks.model_swaps --real    # the worker, two minutes, into benchmarks/results/model_swaps_real.md

Simulated is the traffic, the time and the worker's loop (`benchmarks/swaps/simulate.py`); the policy and what it knows
of the queues are the worker's own. It stands beside first come, first served, and beside a time that no worker whatever
can beat (`oracle_s` in `benchmarks/swaps/traffic.py`). In the other part nothing is simulated: it is the worker itself,
whose engines sleep for as long as models load and run (`benchmarks/swaps/real.py`).
"""

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from asr_queue.domain.items import Operation
from benchmarks.report import machine, publish, table
from benchmarks.swaps.real import work
from benchmarks.swaps.simulate import Run, Simulation, oldest_first
from benchmarks.swaps.traffic import MICRO_BATCH, Sent, bursts, interleaved, oracle_s, paced, prioritised
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
    **{
        f"three priorities, {utilisation:.0%} busy": partial(
            lambda utilisation, chance: prioritised(
                paced(_PACED_ITEMS, utilisation=utilisation, pass_s=PASS_S, chance=chance), chance=chance
            ),
            utilisation,
        )
        for utilisation in (0.6, 0.8)
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
        str(max(run.late for run in ours)),
        str(min(run.late for run in first_come)),
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
- *FCFS*: the same worker, which takes the operation whose first item is nearest to its bound: of one priority, the one
  that has waited longest. *fewer*: its swaps for each of
  ours. A swap while nothing else waits costs nobody anything, and at little traffic most are of that kind.
- Waits are from the sending to the begin of the pass, of `transcribe` / `voice_clone`. *late*: items that waited for
  more than the bound: {BOUND_S:.0f} s, half of it for high priority, four times as long for low. Of 2,000 at once some
  have to: the work alone takes longer. Of three priorities, one item in ten is high and three are low.
- Of {SEEDS} seeds the worst for ours and the best for FCFS, column by column.
"""


def report_real(items: int) -> str:
    """Have the worker do so many items, by both policies, and return the result in words and a table."""
    swap_s = SWAPS_S[0]
    least_s = oracle_s(interleaved(items), pass_s=PASS_S, swap_s=swap_s)
    ours, first_come = (
        work(items, policy=policy, pass_s=PASS_S, swap_s=swap_s, bound_s=BOUND_S) for policy in (choose, None)
    )
    rows = [
        [
            name,
            f"{run.makespan_s:.1f}",
            f"{run.makespan_s / least_s:.2f}",
            str(run.swaps),
            " / ".join(str(count) for count in run.passes.values()),
            " / ".join(f"{max(waits_s):.1f}" for waits_s in run.waits_s.values()),
            str(sum(wait_s > BOUND_S for waits_s in run.waits_s.values() for wait_s in waits_s)),
        ]
        for name, run in (("the scheduler", ours), ("first come, first served", first_come))
    ]
    passes = " and ".join(f"{seconds:g} s of {operation}" for operation, seconds in PASS_S.items())
    return f"""# Two models on a device that holds one: the worker itself

- **{items} items** interleaved 1:1: **{ours.makespan_s / least_s:.2f}** times the {least_s:.1f} s that nobody can \
beat; wanted: at most 1.15.
- **{first_come.swaps / ours.swaps:.0f} times** fewer swaps than by first come, first served; wanted: at least 10.

{table(("policy", "makespan s", "to the least", "swaps", "passes", "longest wait s", "late"), rows)}

- The worker's whole pipe over queues, store and table in memory, one run each. Its engines sleep: {swap_s:g} s for a
  load, and for a pass {passes}. What the device may hold is enough for one of them.
- All items were submitted before the worker started. The makespan begins when both models have been loaded once.
- Waits are from the submit to the end of an item, the first loads, its own pass and its publishing included; of
  `transcribe` / `voice_clone`. *late*: more than the bound of {BOUND_S:.0f} s.
- First come, first served goes by the order of the submits, micro-batch by micro-batch.
- Machine: {machine()}.
"""


def main() -> None:
    """Simulate or measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="the worker itself, in real time")
    parser.add_argument("--items", type=int, default=400, help="of the real run (400)")
    given = parser.parse_args()
    if given.real:
        publish("model_swaps_real", report_real(given.items))
    else:
        publish("model_swaps", report())


if __name__ == "__main__":
    main()
