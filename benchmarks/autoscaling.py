"""How the scaling rules of `infra/worker.yaml` behave: arrivals of audio, simulated in steps of ten seconds.

    python -m benchmarks.autoscaling

Pure: no clock, no chance, no AWS. The rules are read from the templates; what AWS adds to them is written down below
with its source, and what depends on models and markets is an assumption, named in the result.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from benchmarks.report import publish, table
from benchmarks.scaling_rules import Rules, evaluate, read

STEP_S = 10
SWEEP_EVERY_S = 30
"""`handlers/sweep.py`."""
HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Assumptions, conservative ones.
SPEED = 100.0
"""Seconds of audio that a worker does in a second (Qwen3-ASR-1.7B: 148 on the Open ASR leaderboard)."""
INSTANCE_START_S = 240
"""From the wish for a task to an instance that takes it: boot, agent, an image of some gigabytes."""
TASK_START_S = 60
"""Loading and warming up the engine."""
USD_PER_HOUR = {"Spot": 0.35, "on demand": 0.805}
"""g6.xlarge, us-east-1; Spot varies."""
HELD_ITEMS = 48
"""Most that a worker holds: three micro-batches (`gpu_worker/pipeline/flow.py`)."""
REMEMBERED_ITEMS = 200
"""`asr_queue/usecases/measure_backlog.py`."""

# What AWS adds.
METRIC_DELAY_S = 60
"""A minute's value is looked at a minute after its end."""
HIGH_MINUTES = 3
"""Target tracking acts after 3 minutes above its target (Application Auto Scaling)."""
INSTANCE_LINGERS_S = 900
"""An empty instance is ended after 15 minutes (ECS managed scaling)."""

_NOTHING_SAID = dict.fromkeys(("speech", "said", "said_high", "said_low"), 0.0)
"""The traces are of recordings alone."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Items that are submitted together."""

    at_s: int
    items: int
    item_s: float


@dataclass(slots=True)
class Run:
    """What a trace came to."""

    waits_s: list[tuple[float, int]] = field(default_factory=list)
    """Time from submit to transcript, and for how many items."""
    wanted: list[int] = field(default_factory=list)
    """Tasks wanted, by step."""
    running: list[int] = field(default_factory=list)
    waiting_items: list[int] = field(default_factory=list)
    instance_s: float = 0.0
    busy_s: float = 0.0
    audio_s: float = 0.0

    def wait_s(self, share: float) -> float:
        """Return the wait that a share of the items did not exceed; 0 where there were none."""
        ordered = sorted(self.waits_s)
        left = share * sum(items for _, items in ordered)
        for wait_s, items in ordered:
            left -= items
            if left <= 0:
                return wait_s
        return 0.0

    @property
    def longest_alone_s(self) -> int:
        """Longest time that items waited while no task ran."""
        longest = alone = 0
        for waiting, running in zip(self.waiting_items, self.running, strict=True):
            alone = alone + STEP_S if waiting and not running else 0
            longest = max(longest, alone)
        return longest

    def turns(self, within_s: int) -> int:
        """Return the most changes of direction (up after down, or down after up) in any window of `within_s`."""
        moves = [
            (at * STEP_S, 1 if after > before else -1)
            for at, (before, after) in enumerate(pairwise(self.wanted))
            if after != before
        ]
        turns = [at_s for (_, one), (at_s, other) in pairwise(moves) if one != other]
        return max((sum(at_s <= other < at_s + within_s for other in turns) for at_s in turns), default=0)


class Simulation:
    """One system from zero: a queue in order of arrival, workers that share it, and the rules that count them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._run = Run()
        self._queue: deque[list[float]] = deque()
        """[submitted at, items left, seconds of each, seconds already done of the first]."""
        self._wanted = rules.least
        self._tasks_ready_at_s: list[float] = []
        self._instances_free_at_s: list[float] = []
        """Since when each instance without a task has had none."""
        self._typical_s: float | None = None
        self._heard: list[tuple[int, float]] = []
        self._samples: list[tuple[float, int]] = []
        self._sent: list[int] = [0]
        """Items that came, by minute."""
        self._minutes: dict[str, list[float]] = {"from_zero": [], "one_less": [], "to_zero": [], "share": []}
        self._steps = {"from_zero": rules.from_zero, "one_less": rules.one_less, "to_zero": rules.to_zero}
        self._moved_at_s: dict[str, int] = {}

    def run(self, arrivals: Sequence[Arrival], *, until_s: int) -> Run:
        """Simulate until the trace and its work are over, and at least an hour more."""
        coming = deque(sorted(arrivals, key=lambda arrival: arrival.at_s))
        now_s = 0
        while now_s < until_s or self._queue or self._wanted or self._instances_free_at_s or self._tasks_ready_at_s:
            if now_s % 60 == 0:
                self._sent.append(0)
            while coming and coming[0].at_s <= now_s:
                arrival = coming.popleft()
                self._sent[-1] += arrival.items
                self._queue.append([now_s, arrival.items, arrival.item_s, 0.0])
            self._work(now_s)
            if now_s % SWEEP_EVERY_S == 0:
                self._sweep()
            if now_s % 60 == 0 and now_s >= METRIC_DELAY_S:
                self._scale(now_s)
            self._follow(now_s)
            self._note(now_s)
            now_s += STEP_S
            if now_s > until_s + 2 * DAY_S:
                break
        return self._run

    def _waiting(self) -> int:
        return int(sum(entry[1] for entry in self._queue))

    def _ready(self, now_s: float) -> int:
        return sum(at_s <= now_s for at_s in self._tasks_ready_at_s)

    def _work(self, now_s: int) -> None:
        """Let the running workers take from the front of the queue."""
        left_s = self._ready(now_s) * SPEED * STEP_S
        granted_s = left_s
        while left_s > 0 and self._queue:
            entry = self._queue[0]
            needed_s = entry[1] * entry[2] - entry[3]
            done_s = min(left_s, needed_s)
            before = int(entry[3] // entry[2])
            entry[3] += done_s
            finished = int(entry[1]) if done_s >= needed_s else int(entry[3] // entry[2]) - before
            if finished:
                self._run.waits_s.append((now_s + STEP_S - entry[0], finished))
                self._heard.append((finished, finished * entry[2]))
            left_s -= done_s
            if done_s >= needed_s:
                self._queue.popleft()
            else:
                entry[1] -= finished
                entry[3] -= finished * entry[2]
        self._run.busy_s += (granted_s - left_s) / SPEED
        self._run.audio_s += granted_s - left_s

    def _sweep(self) -> None:
        """Publish the backlog as the sweep does, and learn the length of what was finished since."""
        typical_s = self._typical_s or self._rules.assumed_item_s
        self._samples.append((self._waiting() * typical_s, self._wanted))
        items, audio_s = sum(items for items, _ in self._heard), sum(audio_s for _, audio_s in self._heard)
        self._heard.clear()
        if items:
            known_s = self._typical_s
            self._typical_s = (
                audio_s / items
                if known_s is None
                else (known_s * REMEMBERED_ITEMS + audio_s) / (REMEMBERED_ITEMS + items)
            )

    def _scale(self, now_s: int) -> None:
        """Look at the minute that ended a minute ago, and move the number of wanted tasks as the rules say."""
        rules = self._rules
        a_minute = 60 // SWEEP_EVERY_S
        ended = len(self._samples) - (METRIC_DELAY_S // SWEEP_EVERY_S) + 1
        sampled = self._samples[max(0, ended - a_minute) : ended]
        if not sampled:
            return
        most = {
            "backlog": max(one for one, _ in sampled),
            "tasks": float(max(tasks for _, tasks in sampled)),
            "sent": float(self._sent[max(0, len(self._sent) - 2 - METRIC_DELAY_S // 60)]),
            "sent_high": 0.0,  # all arrivals of a trace are of one priority
            "sent_low": 0.0,
            **_NOTHING_SAID,
        }
        mean = {
            "backlog": sum(one for one, _ in sampled) / len(sampled),
            **_NOTHING_SAID,
            "tasks": sum(tasks for _, tasks in sampled) / len(sampled),
        }
        for name, rule in self._steps.items():
            self._minutes[name].append(evaluate(rule.expression, most))
        self._minutes["share"].append(evaluate(rules.share, mean))
        asked = [self._stepped(name, now_s) for name in self._steps] + [self._tracked(now_s)]
        outwards = [tasks for tasks in asked if tasks is not None and tasks > self._wanted]
        inwards = [tasks for tasks in asked if tasks is not None and tasks < self._wanted]
        # Growing goes before shrinking (Application Auto Scaling); an idle system may end all it has at once.
        if outwards:
            self._want(max(outwards))
        elif inwards:
            self._want(min(inwards))

    def _stepped(self, name: str, now_s: int) -> int | None:
        rule = self._steps[name]
        if now_s - self._moved_at_s.get(name, -math.inf) < rule.cooldown_s:
            return None
        tasks = rule.tasks(self._minutes[name], wanted=self._wanted)
        if tasks is not None and tasks != self._wanted:
            self._moved_at_s[name] = now_s
        return tasks

    def _tracked(self, now_s: int) -> int | None:
        rules, shares = self._rules, self._minutes["share"]
        is_high = len(shares) >= HIGH_MINUTES and min(shares[-HIGH_MINUTES:]) > rules.target
        if not is_high or now_s - self._moved_at_s.get("share", -math.inf) < rules.out_cooldown_s:
            return None
        self._moved_at_s["share"] = now_s
        return math.ceil(self._wanted * shares[-1] / rules.target)

    def _want(self, tasks: int) -> None:
        self._wanted = min(self._rules.most, max(self._rules.least, tasks))

    def _follow(self, now_s: int) -> None:
        """Start and end tasks and instances, as ECS and its capacity provider do."""
        for _ in range(self._wanted - len(self._tasks_ready_at_s)):
            if self._instances_free_at_s:
                self._instances_free_at_s.pop()
                self._tasks_ready_at_s.append(now_s + TASK_START_S)
            else:
                self._tasks_ready_at_s.append(now_s + INSTANCE_START_S + TASK_START_S)
        # A task that holds items is protected; those that start are not.
        busy = min(self._ready(now_s), math.ceil(self._waiting() / HELD_ITEMS))
        for _ in range(len(self._tasks_ready_at_s) - max(self._wanted, busy)):
            self._tasks_ready_at_s.remove(max(self._tasks_ready_at_s))
            self._instances_free_at_s.append(now_s)
        self._instances_free_at_s = [at_s for at_s in self._instances_free_at_s if now_s - at_s < INSTANCE_LINGERS_S]

    def _note(self, now_s: int) -> None:
        self._run.wanted.append(self._wanted)
        self._run.running.append(self._ready(now_s))
        self._run.waiting_items.append(self._waiting())
        self._run.instance_s += STEP_S * (len(self._tasks_ready_at_s) + len(self._instances_free_at_s))


def _every_minute(hours: float, audio_s_per_s: float, item_s: float, *, wave: bool = False) -> Iterator[Arrival]:
    owed = 0.0
    for at_s in range(0, int(hours * HOUR_S), 60):
        share = (1 - math.cos(2 * math.pi * at_s / DAY_S)) / 2 if wave else 1.0
        owed += share * audio_s_per_s * 60 / item_s
        items, owed = int(owed), owed % 1
        if items:
            yield Arrival(at_s, items, item_s)


TRACES: dict[str, list[Arrival]] = {
    "idle": [],
    "one short item": [Arrival(HOUR_S, 1, 5.0)],
    "burst: 50 h in 6,000 items of 30 s": [Arrival(HOUR_S, 6000, 30.0)],
    "burst: 50 h in 200 items of 15 min": [Arrival(HOUR_S, 200, 900.0)],
    "steady: 10 s of audio a second": list(_every_minute(12, 10, 30.0)),
    "steady: 150 s of audio a second": list(_every_minute(12, 150, 30.0)),
    "daily wave: up to 250 s a second": list(_every_minute(24, 250, 30.0, wave=True)),
}


def simulate(arrivals: Sequence[Arrival], rules: Rules) -> Run:
    """Run one trace on an empty system, for a day and until it is empty again."""
    return Simulation(rules).run(arrivals, until_s=DAY_S)


def main() -> None:
    """Write the result of every trace down."""
    rules = read()
    rows = []
    for name, arrivals in TRACES.items():
        run = simulate(arrivals, rules)
        hours = run.instance_s / HOUR_S
        audio_h = run.audio_s / HOUR_S
        rows.append(
            [
                name,
                f"{audio_h:.0f}" if audio_h >= 1 else f"{audio_h:.3f}",
                f"{run.wait_s(0.5) / 60:.0f}",
                f"{run.wait_s(0.95) / 60:.0f}",
                f"{max((wait for wait, _ in run.waits_s), default=0) / 60:.0f}",
                f"{max(run.running)}",
                f"{run.longest_alone_s / 60:.0f}",
                f"{run.turns(HOUR_S)}",
                f"{hours:.1f}",
                f"{100 * run.busy_s / run.instance_s:.0f}" if run.instance_s else "-",
                f"{hours * USD_PER_HOUR['Spot']:.2f}",
                f"{hours * USD_PER_HOUR['on demand']:.2f}",
                f"{hours * USD_PER_HOUR['Spot'] / audio_h:.4f}" if audio_h >= 1 else "-",
            ]
        )
    head = ["trace", "audio h", "wait p50 min", "p95", "most", "tasks", "min alone", "turns/h", "GPU h", "busy %"]
    head += ["$ Spot", "$ on demand", "$ Spot an audio h"]
    starts_min = (INSTANCE_START_S + TASK_START_S) // 60
    publish(
        "autoscaling",
        f"""# Scaling, simulated

`python -m benchmarks.autoscaling`: the rules of `infra/worker.yaml` with the default parameters of `template.yaml`
(at most {rules.most} workers, one more for each {rules.target:,.0f} s of waiting audio), on a simulated system. Not
measured on AWS.

{table(head, rows)}

**wait**: submit to transcript. **min alone**: longest time that items waited and no task ran; a start takes
{starts_min} minutes, after up to three until the alarm sees the backlog. **turns/h**: most changes of direction, up
after down or down after up, in any hour. **GPU h**: instances, those included that start or linger. No work was left at
the end of any trace.

Assumed: a worker does {SPEED:.0f} s of audio a second; {INSTANCE_START_S} s until an instance takes a task,
{TASK_START_S} s to load; an empty instance lingers for {INSTANCE_LINGERS_S // 60} minutes; g6.xlarge at
${USD_PER_HOUR["Spot"]} an hour Spot and ${USD_PER_HOUR["on demand"]} on demand.
""",
    )


if __name__ == "__main__":
    main()
