"""Child processes that end with us, whatever ends us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_KEPT_LOGS = 3
_LOG_LIMIT_BYTES = 5 * 1024 * 1024


class Lifeline:
    """A pipe that nobody writes to. Its end tells the children that this process is gone (`asr_queue.local.child`)."""

    def __init__(self) -> None:
        self.fd, self._held_fd = os.pipe()

    def __enter__(self) -> "Lifeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: children that still run are killed by it."""
        os.close(self._held_fd)
        os.close(self.fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run."""

    name: str
    """Names its log, and it in messages."""
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(repr=False)
    """The whole of it; nothing is inherited."""
    fds: tuple[int, ...] = ()
    """File descriptors that it gets, under the same numbers: sockets that are bound already."""
    patience_s: float = 3.0
    """How long it may take to end when asked to."""


class Child:
    """A running program, in a process group of its own, so that what it started ends with it."""

    def __init__(self, program: Program, *, lifeline: Lifeline, logs: Path) -> None:
        self.program = program
        with rotated(logs / f"{program.name}.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules, by our own interpreter
                command(program.module, *program.arguments, lifeline=lifeline),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(program.environment),
                pass_fds=(lifeline.fd, *program.fds),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """Return how it ended (minus the signal's number, for a signal), or None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Send SIGTERM to it; what it started is its own to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it came."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def sweep_up(self) -> None:
        """Kill what is left of it and of whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def command(module: str, *arguments: str, lifeline: Lifeline) -> list[str]:
    """Return the command that runs a module for as long as a lifeline holds; it must get the lifeline's descriptor.

    `-P`: a folder `handlers` where somebody happens to be must not stand in for ours.
    """
    return [sys.executable, "-P", "-m", "asr_queue.local.child", str(lifeline.fd), "-m", module, *arguments]


def rotated(log: Path) -> Path:
    """Put a log that has grown too large aside, keeping a few; return the path to write to."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        for number in range(_KEPT_LOGS - 1, 0, -1):
            older = log.with_suffix(f".{number}.log")
            if older.exists():
                older.replace(log.with_suffix(f".{number + 1}.log"))
        log.replace(log.with_suffix(".1.log"))
    return log
