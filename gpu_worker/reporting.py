"""Telling the world about this worker, every few seconds. Nothing depends on it: it may fail, and the pipe goes on."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from asr_queue.domain.workers import BEAT_S, WorkerReport
from asr_queue.errors import RetryableError
from asr_queue.ports import WorkerRegistry

_logger = logging.getLogger(__name__)


def keep_reporting(
    registry: WorkerRegistry, report: Callable[[], WorkerReport], *, until: threading.Event, every_s: float = BEAT_S
) -> None:
    """Report at once and then every `every_s` seconds until told to end; then leave.

    A report that fails is logged, and the next one tells the same and more.
    """
    while True:
        said = report()
        _try(partial(registry.report, said))
        if until.wait(every_s):
            break
    _try(partial(registry.leave, said.worker_id))


def _try(call: Callable[[], None]) -> None:
    try:
        call()
    except RetryableError as error:
        _logger.warning("worker_report_failed", extra={"code": error.code})
    except Exception:
        # A thread that dies takes the pipe with it (flow.py), and a report is not worth that.
        _logger.exception("worker_report_bug")
