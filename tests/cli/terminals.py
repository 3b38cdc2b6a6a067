"""A command on a terminal of its own (a pty), as a person at it sees and uses it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import COMMAND, environment

SHOW_CURSOR = "\x1b[?25h"
CTRL_C = "\x03"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PATIENCE_S = 60


class Terminal:
    """What a running command was sent and has written."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int) -> None:
        self.process = process
        self._ours = ours
        self._seen = b""

    @property
    def seen(self) -> str:
        """All that came so far, control sequences included."""
        return self._seen.decode(errors="replace")

    @property
    def plain(self) -> str:
        """The same without them: each picture of a live screen after the one before."""
        return _CONTROL.sub("", self.seen)

    def until(self, pattern: str) -> str:
        """Read on until what came matches; return all of it, as `plain`."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not re.search(pattern, self.plain):
            assert time.monotonic() < deadline_s, f"{pattern!r} did not come; there is: {self.plain[-2000:]}"
            assert self._read(), f"{pattern!r} did not come before the end; there is: {self.plain[-2000:]}"
        return self.plain

    def forget(self) -> None:
        """Begin anew: what came so far is of no interest any more."""
        self._seen = b""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def resize(self, *, rows: int, columns: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ended(self) -> int:
        """Read to the end of the command; return its exit status."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while self._read():
            assert time.monotonic() < deadline_s, f"it does not end; there is: {self.plain[-2000:]}"
        return self.process.wait(_PATIENCE_S)

    @property
    def is_echoing(self) -> bool:
        """Whether the terminal shows what is typed, as it does when nobody has changed it."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def _read(self) -> bool:
        """Take what is there; return whether there may be more."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            block = os.read(self._ours, 65_536)
        except OSError:  # Linux: the other side is closed
            return False
        self._seen += block
        return bool(block)


@contextmanager
def on_terminal(
    cwd: Path,
    *arguments: str,
    rows: int = 30,
    columns: int = 100,
    stdout: int | None = None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """Run the command with a terminal that is its own, so that Ctrl-C reaches it; end it with the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    own = environment(**{"TERM": "xterm-256color", **(extra or {})})
    for name in ("COLUMNS", "LINES"):
        own.pop(name, None)
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=own,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    terminal = Terminal(process, ours)
    try:
        # The last one to close a terminal loses what was not read: theirs stays open until the command ends.
        os.close(theirs)
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(ours)
