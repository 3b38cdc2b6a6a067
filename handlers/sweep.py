"""Every minute: tell how much waits, remove what has expired, move on what is stuck.

Two runs, so that nothing waits a whole minute.
"""

import time
from dataclasses import asdict
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from asr_queue.domain.items import Operation
from asr_queue.errors import RetryableError
from asr_queue.usecases.measure_backlog import learn_item_length, measure_backlog
from asr_queue.usecases.resend_notices import resend_notices
from asr_queue.usecases.sweep_expired import sweep_expired
from handlers.observability import count, logger, seconds
from handlers.wiring import Services, services

_RUNS: Final = 2
_SECONDS_BETWEEN: Final = 30.0


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Serve one scheduled event.

    Raises:
        RetryableError: the last run failed; the next minute goes on.
    """
    del event, context
    began_s = time.monotonic()
    for number in range(_RUNS):
        time.sleep(max(0.0, began_s + number * _SECONDS_BETWEEN - time.monotonic()))
        try:
            run(services())
        except RetryableError as error:
            logger.warning("sweep_failed", extra={"code": error.code, "reason": error.message})
            if number == _RUNS - 1:
                raise


def run(wired: Services) -> None:
    """Tell how much waits, then sweep once and tell what that did."""
    # Of what nobody does here nothing is told: what waits of it would call for workers that cannot do it.
    for operation in wired.settings.operations:
        backlog_s = measure_backlog(
            operation, queues=wired.queues, table=wired.table, assumed_item_s=wired.settings.assumed_item_s
        )
        seconds("BacklogAudioSeconds", backlog_s, operation=operation)
    swept = sweep_expired(
        store=wired.store,
        table=wired.table,
        queues=wired.queues,
        clock=wired.clock,
        file_ttl_s=wired.settings.file_ttl_s,
    )
    done = {name: number for name, number in asdict(swept).items() if number}
    if done:
        logger.info("swept", extra=done)
    if swept.items_resent:
        count("ItemsResent", swept.items_resent)
    if wired.notice_queue is not None:
        resent = resend_notices(table=wired.notices, queue=wired.notice_queue, clock=wired.clock)
        if resent:
            logger.info("notices_resent", extra={"notices": resent})
    learn_item_length(Operation.TRANSCRIBE, items=swept.items_heard, audio_s=swept.audio_s, table=wired.table)
    learn_item_length(Operation.VOICE_CLONE, items=swept.items_spoken, audio_s=swept.speech_s, table=wired.table)
