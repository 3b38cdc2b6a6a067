"""What the functions work with, built at the first use and kept while the process lives."""

from dataclasses import dataclass
from functools import cache, cached_property, partial

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.ports import (
    BatchListing,
    Clock,
    ItemTable,
    NoticeQueue,
    NoticeTable,
    ObjectStore,
    Presigner,
    WorkerRegistry,
    WorkQueues,
)
from asr_queue.usecases.queue_pulse import Outlook, take_pulse
from handlers.observability import logger
from handlers.pulses import Pulses
from handlers.settings import ApiSettings


@dataclass(frozen=True, kw_only=True)
class Services:
    """Settings and adapters."""

    settings: ApiSettings
    store: ObjectStore
    presigner: Presigner
    table: ItemTable
    listing: BatchListing
    notices: NoticeTable
    notice_queue: NoticeQueue | None
    queues: WorkQueues
    registry: WorkerRegistry
    clock: Clock

    @cached_property
    def pulses(self) -> Pulses:
        """The queue's pulse, as this process has felt it last."""
        return Pulses(
            partial(
                take_pulse,
                self.settings.operations,
                queues=self.queues,
                registry=self.registry,
                table=self.table,
                clock=self.clock,
                assumed_item_s=self.settings.assumed_item_s,
            )
        )

    def outlook(self) -> Outlook:
        """Return what a batch's status is told by, as of now."""
        return Outlook(
            now=self.clock.now(),
            pulse=self.pulses.try_now,
            assumed_item_s=self.settings.assumed_item_s,
            usd_per_hour=self.settings.worker_usd_per_hour,
        )


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
        listing=aws.listing,
        notices=aws.notices,
        notice_queue=aws.notice_queue,
        queues=aws.queues,
        registry=aws.workers,
        clock=SystemClock(),
    )
