"""What was injected how often, for `benchmarks/results/faults.md`."""

import platform
from collections import Counter
from datetime import UTC, datetime

from tests.faults.lab import Verdict


class Tally:
    """Sums over runs."""

    def __init__(self, *, engine: str, workers: int, began_at: datetime) -> None:
        self._engine, self._workers, self._began_at = engine, workers, began_at
        self._seeds: list[int] = []
        self._failed: dict[int, list[str]] = {}
        self._afterwards: list[str] = []
        self._sums: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._actions: Counter[str] = Counter()
        self._harms: Counter[str] = Counter()
        self._took_s: list[float] = []

    @property
    def violations(self) -> int:
        """How many there were in all."""
        return sum(map(len, self._failed.values())) + len(self._afterwards)

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        self._seeds.append(verdict.seed)
        self._took_s.append(verdict.took_s)
        if verdict.violations:
            self._failed[verdict.seed] = verdict.violations
        self._sums["items accepted"] += verdict.items
        self._sums["status answers checked"] += verdict.status_answers
        self._sums["calls of AWS"] += len(verdict.calls)
        for (fate, action), count in verdict.faults.items():
            self._faults[fate] += count
            self._actions[action] += count
        for harm in verdict.harms:
            kind = "worker" if harm.name.startswith("worker") else harm.name
            self._harms[f"{kind} {'killed' if harm.stall_s is None else 'stopped past the visibility timeout'}"] += 1

    def add_afterwards(self, violations: list[str]) -> None:
        """Count what was wrong after the last run."""
        self._afterwards += violations

    def page(self, *, ended_at: datetime) -> str:
        """Return the section of the long run, in Markdown."""
        took = sorted(self._took_s)
        lines = [
            f"{len(self._seeds)} runs, seeds {min(self._seeds)} to {max(self._seeds)}, engine `{self._engine}`, "
            f"{self._workers} workers, {(ended_at - self._began_at).total_seconds() / 60:.0f} minutes from "
            f"{self._began_at:%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}. "
            f"A run took {took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s at most.",
            "",
            f"**Violations: {self.violations}**" + (f", in seeds {sorted(self._failed)}" if self._failed else ""),
            "",
            *_table("seen", self._sums),
            *_table("done to processes", self._harms),
            *_table("done to calls and messages", self._faults),
            *_table("calls that something was done to", self._actions),
        ]
        for seed, violations in sorted(self._failed.items()):
            lines += [f"- seed {seed}: {violation}" for violation in violations[:3]]
        lines += [f"- afterwards: {violation}" for violation in self._afterwards[:10]]
        return "\n".join(lines) + "\n"


def now() -> datetime:
    """Return the present instant, on our clock."""
    return datetime.now(UTC)


def _table(title: str, counts: Counter[str]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in counts.most_common()]
    return [f"| {title} | times |", "|---|---|", *rows, ""]
