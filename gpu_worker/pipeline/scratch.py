"""A folder for files under way that does not outlive its process, however that ends.

Run as a script, this file is the process that waits for the end and removes the folder.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 10.0
"""Decoding processes end within milliseconds of their parent; until then they may still write."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make an empty folder; it is gone after the block, and within moments of the end of a process that was killed.

    A process of its own removes it, since one that is killed cannot. That one outlives signals to the whole group.
    """
    folder = Path(tempfile.mkdtemp(prefix="asr-queue-"))
    # -I: nothing but the standard library, found without the folder of this file. Leaving the block closes its
    # standard input and waits for it, and so does the kernel when this process dies, waiting aside.
    with subprocess.Popen(  # noqa: S603 - our own script, by our own interpreter
        [sys.executable, "-I", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ):
        yield folder


def _remove_at_end_of_input(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.read()
    deadline_s = time.monotonic() + _PATIENCE_S
    while folder.exists() and time.monotonic() < deadline_s:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    _remove_at_end_of_input(Path(sys.argv[1]))
