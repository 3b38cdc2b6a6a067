"""A reader's terminal: one shell, one interpreter, and what was left running, until the end of a page."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_STEP_LIMIT_S = 240
_END_LIMIT_S = 30


@dataclass(frozen=True, slots=True)
class Ran:
    """What one step came to."""

    worked: bool
    output: str
    """What it wrote to standard output."""
    complaints: str
    """What it wrote to standard error."""

    @property
    def seen(self) -> str:
        """What stands on the terminal."""
        return self.output + self.complaints


class _Conversation:
    """A program that is told a line a step, and answers each with one that begins with `done`, or else ends."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=environment, start_new_session=True
        )

    def tell(self, line: str) -> bool:
        """Send a line; return whether it was done, in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _STEP_LIMIT_S)
        return bool(ready) and self._process.stdout.readline().startswith(b"done")

    def end(self) -> None:
        """End it and all that it started in the foreground."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_END_LIMIT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Session:
    """What a page has its reader type, one step after the other, in a folder."""

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        """Open the shell.

        Args:
            folder: where the reader works.
            scratch: an empty folder for what each step is and writes.
            environment: the whole of it.
        """
        self.folder = folder
        self._scratch = scratch
        self._steps = 0
        # A step that fails ends the shell, as it ends a script.
        self._shell = _Conversation(["bash", "--norc", "-euo", "pipefail"], folder, environment)
        self._interpreter: _Conversation | None = None
        self._left_running: list[subprocess.Popen[bytes]] = []

    def shell(self, script: str, *, typed: str = "") -> Ran:
        """Run lines in the shell; variables, functions and the folder stay for the next."""
        step = self._step(script)
        step.with_suffix(".typed").write_text(typed)
        line = f". {step} <{step}.typed >{step}.output 2>{step}.complaints; echo done"
        return self._ran(step, worked=self._shell.tell(line))

    def python(self, program: str) -> Ran:
        """Run a program; what it defined stays for the next, as at Python's own prompt."""
        if self._interpreter is None:
            command = [sys.executable, str(Path(__file__).with_name("interpreter.py"))]
            self._interpreter = _Conversation(command, self._where(), self.exported())
        step = self._step(program)
        return self._ran(step, worked=self._interpreter.tell(str(step)))

    def node(self, program: str) -> Ran:
        """Run a program in Node, beside the packages that the folder has."""
        path = self.folder / f"page-{self._steps}.mjs"
        path.write_text(program)
        return self.shell(f"node {path.name}")

    def leave_running(self, command: str, ready: str) -> Ran:
        """Start a program that serves until the end of the page; return when it has printed that it is ready."""
        step = self._step(command)
        with step.with_suffix(".output").open("wb") as output, step.with_suffix(".complaints").open("wb") as complaints:
            process = subprocess.Popen(
                ["bash", "--norc", "-eu", str(step)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                cwd=self._where(),
                env=self.exported(),
                start_new_session=True,
            )
        self._left_running.append(process)
        ends_at = time.monotonic() + _STEP_LIMIT_S
        while process.poll() is None and time.monotonic() < ends_at:
            if ready in step.with_suffix(".output").read_text():
                return self._ran(step, worked=True)
            time.sleep(0.05)
        return self._ran(step, worked=False)

    def exported(self) -> dict[str, str]:
        """Return the shell's environment as it is now."""
        entries = self._quietly("env -0").split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def close(self) -> None:
        """End everything that the page started."""
        for talk in filter(None, [self._interpreter, self._shell]):
            talk.end()
        for process in self._left_running:
            _end_group(process)

    def _where(self) -> Path:
        return Path(self._quietly("pwd").strip())

    def _quietly(self, command: str) -> str:
        ran = self.shell(command)
        assert ran.worked, ran.complaints
        return ran.output

    def _step(self, text: str) -> Path:
        self._steps += 1
        step = self._scratch / f"step-{self._steps}"
        step.write_text(text + "\n")
        return step

    def _ran(self, step: Path, *, worked: bool) -> Ran:
        output, complaints = (
            path.read_text(errors="replace") if path.exists() else ""
            for path in (step.with_suffix(".output"), step.with_suffix(".complaints"))
        )
        return Ran(worked, output, complaints)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ask a program and what it started to end, as Ctrl-C at a terminal asks them all; then do not ask."""
    group = [psutil.Process(pid) for pid in psutil.pids() if _group_of(pid) == process.pid]
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        process.poll()
        psutil.wait_procs(group, timeout=_END_LIMIT_S)
        if not any(one.is_running() for one in group):
            break
    process.wait(_END_LIMIT_S)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None
