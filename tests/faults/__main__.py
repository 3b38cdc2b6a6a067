"""The fault lab: `python -m tests.faults --runs 1000`, or `--seed 17` to see one again."""

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.lab import Lab, Verdict
from tests.faults.report import Tally, now
from tests.faults.system import running


def main() -> int:
    """Return 0 where nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, help="the first seed, and the only one unless --runs is given")
    parser.add_argument("--minutes", type=float, help="begin no run after so long")
    parser.add_argument("--engine", default="echo", choices=["echo", "whisper"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", type=Path, help="a Markdown file to write")
    parser.add_argument("--failures", type=Path, help="a folder for what is known of each failed run")
    told = parser.parse_args()
    runs = 1 if told.seed is not None and "--runs" not in sys.argv else told.runs
    first = told.seed if told.seed is not None else 0
    return asyncio.run(_run(range(first, first + runs), told))


async def _run(seeds: range, told: argparse.Namespace) -> int:
    tally = Tally(engine=told.engine, workers=told.workers, began_at=now())
    until_s = time.monotonic() + 60 * (told.minutes or float("inf"))
    folder = Path(tempfile.mkdtemp(prefix="asr-queue-faults-"))
    try:
        async with running(folder, engine=told.engine, workers=told.workers) as system:
            lab = Lab(system, engine=told.engine)
            for seed in seeds:
                if time.monotonic() > until_s:
                    break
                verdict = await lab.run(seed)
                tally.add(verdict)
                _say(verdict)
                if verdict.violations and told.failures:
                    _keep(verdict, told.failures)
                if told.report:
                    told.report.write_text(tally.page(ended_at=now()))
            left = await lab.outlived()
            lab.close()
            tally.add_afterwards(left)
            for violation in left:
                print(f"afterwards: {violation}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    page = tally.page(ended_at=now())
    if told.report:
        told.report.write_text(page)
    print(page)
    return 1 if tally.violations else 0


def _say(verdict: Verdict) -> None:
    harms = ", ".join(f"{harm.name} {'killed' if harm.stall_s is None else 'stopped'}" for harm in verdict.harms)
    faults = sum(verdict.faults.values())
    print(f"seed {verdict.seed}: {verdict.took_s:.1f} s, {verdict.items} items, {faults} faults, {harms or 'no harm'}")
    for violation in verdict.violations:
        print(f"  VIOLATION {violation}")
    sys.stdout.flush()


def _keep(verdict: Verdict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        "violations": verdict.violations,
        "plan": dataclasses.asdict(verdict.plan),
        "stories": [dataclasses.asdict(story) for story in verdict.stories],
        "calls": verdict.calls,
    }
    (folder / f"seed-{verdict.seed}.json").write_text(json.dumps(known, indent=1, default=str))


if __name__ == "__main__":
    sys.exit(main())
