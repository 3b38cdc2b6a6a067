"""Run a module as a process that does not outlive its supervisor: `python -m asr_queue.local.child FD -m MODULE ...`.

FD is the reading end of a pipe whose writing end only the supervisor holds. However the supervisor ends, the kernel
closes that end; then this process and everything that it started, its process group, are killed at once. They are
made for that: what a worker had in hand comes back, and the emulator has written down what it answered.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Watch the lifeline, and become the module."""
    lifeline_fd, _, module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=(int(lifeline_fd),), name="lifeline", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(lifeline_fd: int) -> None:
    while os.read(lifeline_fd, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
