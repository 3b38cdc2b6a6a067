"""What the functions work with, built at the first use and kept while the process lives."""

from dataclasses import dataclass
from functools import cache

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import Clock, ItemTable, ObjectStore, Presigner, WorkQueues
from handlers.observability import logger
from handlers.settings import ApiSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Settings and adapters."""

    settings: ApiSettings
    store: ObjectStore
    presigner: Presigner
    table: ItemTable
    queues: WorkQueues
    clock: Clock


@cache
def services() -> Services:
    """Return the services of this process."""
    settings = ApiSettings()
    logger.setLevel(settings.log_level)
    aws = connect(settings)
    return Services(
        settings=settings,
        store=aws.store,
        presigner=aws.presigner,
        table=aws.table,
        queues=aws.queues,
        clock=SystemClock(),
    )
