"""Single keys, as they are pressed."""

import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_keys() -> Iterator[bool]:
    """Let standard input give each key at once and unseen until the block ends; Ctrl-C stays an interrupt.

    Yields whether there are any: standard input may be no terminal.
    """
    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield True
    finally:
        # What was typed meanwhile was meant for this command, not for the shell.
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


def pressed() -> str:
    """Return the keys that wait in standard input; empty where its terminal is gone. It blocks where none waits."""
    return os.read(sys.stdin.fileno(), 1024).decode(errors="replace")
