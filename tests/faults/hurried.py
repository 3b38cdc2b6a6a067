"""Run one of the system's programs on the lab's clock: `python -m tests.faults.hurried MODULE ARGUMENT...`.

A minute of theirs is a second of ours. So nothing that they go by is changed, neither the thirty minutes of a file nor
the two minutes after which the sweep first looks at a batch, and all of it still happens within a test.

Three things are no instants and are brought into proportion by hand: how long they wait for an answer of AWS, how long
they pause before they ask again, and how long a worker's receive waits for messages.
"""

import os
import runpy
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

SPEED = 60
"""Seconds of theirs in one of ours."""
EPOCH = "LAB_EPOCH"
"""Environment variable: when the lab's clock began to run, in seconds since 1970."""

_PAUSES_SHORTENED = 10
_READ_TIMEOUT_S = 1.5
_SQS_READ_TIMEOUT_S = 3.0
_LONG_POLL_S = 20
"""On the emulator's clock: a third of a second."""
_EMULATOR = "asr_queue.local.emulator"

_really = time.time


def theirs(epoch_s: float) -> float:
    """Return the time on the lab's clock, in seconds since 1970."""
    return epoch_s + (_really() - epoch_s) * SPEED


def main() -> None:
    """Hurry, and become the module."""
    epoch_s = float(os.environ[EPOCH])
    _, module, *arguments = sys.argv
    if module == _EMULATOR:
        time.time = lambda: theirs(epoch_s)
    else:
        _hurry_ours(lambda: theirs(epoch_s))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _hurry_ours(now_s: Callable[[], float]) -> None:
    from botocore.config import Config

    from asr_queue.adapters import aws, system_clock
    from gpu_worker.pipeline import flow

    class Hurried(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(now_s(), tz or UTC)

    pause = time.sleep
    time.sleep = lambda seconds: pause(seconds / _PAUSES_SHORTENED)
    system_clock.datetime = Hurried
    short = Config(read_timeout=_READ_TIMEOUT_S)
    aws._CONFIG, aws._S3_CONFIG = aws._CONFIG.merge(short), aws._S3_CONFIG.merge(short)
    aws._SQS_CONFIG = aws._SQS_CONFIG.merge(Config(read_timeout=_SQS_READ_TIMEOUT_S))
    flow._LONG_POLL_S = _LONG_POLL_S


if __name__ == "__main__":
    main()
