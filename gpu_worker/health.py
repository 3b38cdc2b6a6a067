"""`python -m gpu_worker.health`: whether the worker gets on, as an exit status, for a container's health check.

The worker touches its ready file each time that it looks for work, a few times a second to once in two seconds. A pass
that hangs is not seen here, since the watchdog ends it; what is seen is a worker that no longer takes any work.
"""

import sys
from pathlib import Path
from typing import Final

from asr_queue.adapters.system_clock import SystemClock
from gpu_worker.settings import WorkerSettings

STALE_S: Final = 180.0
"""Longer than a receive may take whose calls all run into their time limit: restarting mends no queue."""


def complaint(ready_file: Path | None, *, now_s: float) -> str | None:
    """Return what is wrong with a worker, or None where it gets on.

    Args:
        ready_file: what it was told to touch.
        now_s: seconds since 1970.
    """
    if ready_file is None:
        return "ASR_QUEUE_READY_FILE is not set, so nothing can be said"
    try:
        age_s = now_s - ready_file.stat().st_mtime
    except FileNotFoundError:
        return "the worker has not loaded its engine yet, or has stopped"
    return f"the worker has not looked for work for {age_s:.0f} s" if age_s > STALE_S else None


def main() -> int:
    """Return 0 where the worker gets on, and 1 where it does not; standard error says why."""
    wrong = complaint(WorkerSettings().ready_file, now_s=SystemClock().now().timestamp())
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
