"""Runs seeds, one after the other, on one system, and judges each.

A run: clients upload, submit and poll while calls fail and processes die, as the seed says. Then all failing stops, and
within a bounded time everything must have ended, and been told right throughout.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Final

import httpx

from tests.faults import checks
from tests.faults.clients import Actor, Story
from tests.faults.end_state import EndState
from tests.faults.fates import Fate, Fates
from tests.faults.hurried import SPEED
from tests.faults.plan import Harm, Plan, plan
from tests.faults.recordings import recordings
from tests.faults.row_history import Outcomes, RowHistory
from tests.faults.system import MAX_RECEIVES, System

_PATIENCE_S: Final = 90.0
"""Within which all must have ended: an hour and a half of the system's own time."""
_LOOK_EVERY_S: Final = 0.2
_TIDYING_S: Final = 60.0
"""How much later than its expiry a file's bytes may go, on a machine that has other things to do."""
_BUGS: Final = (b"_bug", b"stage_died", b"Traceback (most recent call last)")
"""What a log says of a failure that nobody foresaw."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What came of one run."""

    seed: int
    took_s: float
    violations: list[str]
    items: int
    status_answers: int
    faults: Counter[tuple[Fate, str]]
    harms: tuple[Harm, ...]
    plan: Plan = field(repr=False)
    stories: list[Story] = field(repr=False)
    calls: list[str] = field(repr=False)
    """Every call with its fate, in order."""


class Lab:
    """A system under observation."""

    def __init__(self, system: System, *, engine: str) -> None:
        self._system = system
        self._engine = engine
        self._recordings = recordings()
        self._end_state = EndState(system)
        self._file_life_s = system.file_ttl_s / SPEED
        self._history = RowHistory(system.journals)
        self._outcomes = Outcomes()
        self._read_bytes: dict[Path, int] = {}

    async def run(self, seed: int) -> Verdict:
        """Run one seed, and judge it."""
        system = self._system
        script = plan(seed, names=system.names(), recordings=len(self._recordings))
        fates = Fates(seed)
        began_s = time.monotonic()
        system.proxy.follow(fates, seed)
        async with httpx.AsyncClient(base_url=system.url, timeout=10, trust_env=False) as http:
            actors = [
                Actor(client, self._recordings, http, system.keys[client.tenant], file_life_s=self._file_life_s)
                for client in script.clients
            ]
            await asyncio.to_thread(self._end_state.poison, script.poison)
            acting = [asyncio.create_task(actor.act()) for actor in actors]
            harming = [asyncio.create_task(self._harm(harm)) for harm in script.harms]
            await asyncio.sleep(script.chaos_s)
            fates.end()
            was_done = await asyncio.gather(*harming)
            _, unfinished = await asyncio.wait(acting, timeout=_PATIENCE_S)
            for task in unfinished:
                task.cancel()
            broken = [task.exception() for task in set(acting) - unfinished]
            await system.proxy.settle()
            stories = [actor.story for actor in actors]
            violations = await self._judged_at_last(stories)
            for actor in actors:
                await actor.look_again()
        violations += [f"a client broke: {error!r}" for error in broken if error is not None]
        violations += [f"{story.client.label}: not told that it ended" for story in stories if _waits(story)]
        for story in stories:
            violations += [*story.surprises, *checks.answers_agree(story)]
        violations += self._outcomes.changed(self._history.news())
        violations += self._told_by_logs()
        now_s = time.monotonic()
        violations += self._outlived(before_s=min(now_s - self._file_life_s - _TIDYING_S, began_s))
        return Verdict(
            seed=seed,
            took_s=time.monotonic() - began_s,
            violations=violations,
            items=sum(len(story.client.items) for story in stories if story.submitted is not None),
            status_answers=sum(len(story.polls) for story in stories),
            faults=fates.carried_out,
            harms=tuple(compress(script.harms, was_done)),
            plan=script,
            stories=stories,
            calls=system.proxy.forget_calls(),
        )

    def close(self) -> None:
        """Let go of what is being followed."""
        self._history.close()

    async def outlived(self) -> list[str]:
        """Wait until all that was ever put must be gone; return what is not."""
        deadline_s = time.monotonic() + self._file_life_s + _TIDYING_S
        while time.monotonic() < deadline_s:
            if not await asyncio.to_thread(self._end_state.objects):
                return []
            await asyncio.sleep(1)
        return self._outlived(before_s=time.monotonic())

    async def _harm(self, harm: Harm) -> bool:
        await asyncio.sleep(harm.at_s)
        if harm.stall_s is not None:
            return await self._system.stall(harm.name, harm.stall_s)
        self._system.kill(harm.name)
        return True

    async def _judged_at_last(self, stories: list[Story]) -> list[str]:
        """Judge the end until there is nothing to say against it, or patience has run out."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            violations = await asyncio.to_thread(lambda: list(self._judged(stories)))
            if not violations or time.monotonic() > deadline_s:
                return violations
            await asyncio.sleep(_LOOK_EVERY_S)

    def _judged(self, stories: list[Story]) -> Iterator[str]:
        alive_since_s = self._system.now_s() - self._system.file_ttl_s
        objects, messages = self._end_state.objects(), self._end_state.messages()
        for story in stories:
            batch_ids = self._system.witness.batches_of[story.client.label]
            rows = {batch_id: self._end_state.batch(batch_id) for batch_id in sorted(batch_ids)}
            yield from checks.everything_ended(story, rows, self._system.witness.receives, MAX_RECEIVES)
            yield from checks.ends_are_noted(rows)
            yield from checks.outcomes_are_right(story, rows, self._recordings, engine=self._engine)
            files = self._end_state.files(story.files)
            yield from checks.nothing_is_left(rows.values(), files, objects, messages, alive_since_s=alive_since_s)

    def _outlived(self, *, before_s: float) -> list[str]:
        put_at_s = self._system.witness.put_at_s
        return list(checks.nothing_outlives_its_time(put_at_s, self._end_state.objects(), before_s=before_s))

    def _told_by_logs(self) -> list[str]:
        found = []
        for log in sorted(self._system.logs.glob("*.log")):
            with log.open("rb") as file:
                file.seek(min(self._read_bytes.get(log, 0), log.stat().st_size))
                lines = file.read().splitlines()
                self._read_bytes[log] = file.tell()
            found += [f"{log.stem}: {line[:2000].decode(errors='replace')}" for line in lines if _is_bug(line)]
        return found


def _waits(story: Story) -> bool:
    return story.submitted is not None and not story.is_finished


def _is_bug(line: bytes) -> bool:
    return any(sign in line for sign in _BUGS)
