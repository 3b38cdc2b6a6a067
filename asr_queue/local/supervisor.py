"""Keeps programs running: starts them, starts those again that die, and ends them in order."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from asr_queue.local.processes import Child, Lifeline, Program

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_PROVEN_AFTER_S = 60.0
"""A program that ran this long before it died gets the short pauses again."""


@dataclass(slots=True)
class _Post:
    """A program's place: whoever dies there is replaced."""

    child: Child
    started_s: float
    deaths: int = 0
    """In a row, without having run long."""
    again_at_s: float | None = field(default=None)
    """When to start it again; None while it runs."""


class Supervisor:
    """Programs in the order of their start; those that were started together end together."""

    def __init__(self, *, lifeline: Lifeline, logs: Path, say: Callable[[str], None]) -> None:
        """Nothing runs yet.

        Args:
            logs: folder of the programs' logs.
            say: told, in a line, of each death.
        """
        self._lifeline = lifeline
        self._logs = logs
        self._say = say
        self._groups: list[list[_Post]] = []

    def start(self, *programs: Program) -> None:
        """Start programs that end together."""
        group: list[_Post] = []
        self._groups.append(group)
        for program in programs:
            group.append(_Post(self._child(program), time.monotonic()))

    def hopeless(self, deaths: int) -> str | None:
        """Return the name of a program that has died at least so often in a row, or None."""
        posts = (post for group in self._groups for post in group)
        return next((post.child.program.name for post in posts if post.deaths >= deaths), None)

    def tend(self) -> None:
        """Look at every program once: note the dead, and start them again when their pause is over."""
        for group in self._groups:
            for post in group:
                self._tend(post)

    def stop(self) -> None:
        """End everything, the last started first: each gets its patience, and is killed after it."""
        while self._groups:
            group = self._groups.pop()
            for post in group:
                post.child.ask_to_end()
            until_s = time.monotonic() + max((post.child.program.patience_s for post in group), default=0)
            for post in group:
                if not post.child.wait(max(0.0, until_s - time.monotonic())):
                    self._say(f"{post.child.program.name} did not end in time and is killed")
                post.child.sweep_up()

    def _tend(self, post: _Post) -> None:
        now_s = time.monotonic()
        if post.again_at_s is None:
            status = post.child.exit_status()
            if status is None:
                return
            post.child.sweep_up()
            post.deaths = 1 if now_s - post.started_s > _PROVEN_AFTER_S else post.deaths + 1
            pause_s = min(_FIRST_PAUSE_S * 2 ** (post.deaths - 1), _LONGEST_PAUSE_S)
            post.again_at_s = now_s + pause_s
            self._say(f"{post.child.program.name} ended ({_described(status)}); starts again in {pause_s:g} s")
        elif now_s >= post.again_at_s:
            post.child = self._child(post.child.program)
            post.started_s = now_s
            post.again_at_s = None

    def _child(self, program: Program) -> Child:
        return Child(program, lifeline=self._lifeline, logs=self._logs)


def _described(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
