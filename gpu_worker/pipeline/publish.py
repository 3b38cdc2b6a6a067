"""Making an item's outcome the one that counts. No save, no acknowledgement."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from asr_queue.domain.items import ItemError
from asr_queue.errors import AsrQueueError, CallerError, RetryableError
from asr_queue.ports import Clock, ItemTable, NoticeQueue, ObjectStore
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from gpu_worker.leases import Leases
from gpu_worker.pipeline.backoff import hidden_s, persist
from gpu_worker.work import Assembled, Claimed, Failed, Received

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An item whose outcome is known and only has to be recorded."""

    claimed: Claimed
    outcome: Outcome


class Publisher:
    """Writes results, records outcomes, lets go of messages; safe to use from several threads."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        table: ItemTable,
        clock: Clock,
        leases: Leases,
        file_ttl_s: int,
        patience_s: float,
        stopping: threading.Event,
        notices: NoticeQueue | None = None,
    ) -> None:
        """Take the outside world, and how long to try again while it is away.

        Args:
            store: where results are written.
            table: where outcomes are recorded.
            clock: says when items end.
            leases: what to acknowledge or give back.
            file_ttl_s: life of a result.
            patience_s: how long to try; the leases are kept all that time.
            stopping: set, patience is short.
            notices: who learns of finished batches at once.
        """
        self._store = store
        self._table = table
        self._clock = clock
        self._leases = leases
        self._file_ttl_s = file_ttl_s
        self._patience_s = patience_s
        self._stopping = stopping
        self._notices = notices

    def write(self, end: Assembled | Failed) -> Ended | None:
        """Write an item's result under a key of its attempt, and return what is to be recorded.

        None where the item has no outcome, because it or its result must be tried again: then its message was given
        back already, to come again after a while.
        """
        claimed = end.claimed
        if isinstance(end, Failed):
            if not isinstance(end.error, CallerError):
                self.retry_later(claimed, end.error)
                return None
            error = ItemError(end.error.code, end.error.message)
            outcome = Outcome(item=claimed.item, error=error, device_s=end.device_s, micro_batch=end.micro_batch)
            return Ended(claimed=claimed, outcome=outcome)
        data = end.render()
        try:
            size_bytes = persist(
                lambda: write_result(claimed.item, data, store=self._store),
                patience_s=self._patience_s,
                stopping=self._stopping,
            )
        except RetryableError as error:
            self.retry_later(claimed, error)
            return None
        outcome = Outcome(
            item=claimed.item,
            audio_s=end.audio_s,
            device_s=end.device_s,
            micro_batch=end.micro_batch,
            result_bytes=size_bytes,
        )
        return Ended(claimed=claimed, outcome=outcome)

    def record(self, ended: Sequence[Ended]) -> bool:
        """Record outcomes together, then acknowledge their messages; return False where they must come again."""
        outcomes = [one.outcome for one in ended]
        try:
            counts = persist(
                lambda: record_outcomes(
                    outcomes,
                    store=self._store,
                    table=self._table,
                    clock=self._clock,
                    file_ttl_s=self._file_ttl_s,
                    notices=self._notices,
                ),
                patience_s=self._patience_s,
                stopping=self._stopping,
            )
        except RetryableError as error:
            for one in ended:
                self.retry_later(one.claimed, error)
            return False
        self._leases.acknowledge([one.claimed.key for one in ended])
        for one, is_ours in zip(ended, counts, strict=True):
            _log_published(one, is_ours=is_ours)
        return True

    def retry_later(self, work: Received | Claimed, error: AsrQueueError) -> None:
        """Give an item's message back, to come again after a wait that grows with each receive."""
        delivery = work.delivery
        visibility_s = hidden_s(error, receive_count=delivery.receive_count)
        self._leases.give_back([delivery.receipt_handle], visibility_s=visibility_s)
        named = work.message if isinstance(work, Received) else work.item
        _logger.warning(
            "item_given_back",
            extra={
                "batch_id": named.batch_id,
                "item_id": named.item_id,
                "receive_count": delivery.receive_count,
                "code": error.code,
                "visibility_s": visibility_s,
            },
        )


def _log_published(ended: Ended, *, is_ours: bool) -> None:
    item, error = ended.claimed.item, ended.outcome.error
    queue_wait_s = None if item.started_at is None else (item.started_at - item.created_at).total_seconds()
    _logger.info(
        "item_published",
        extra={
            "batch_id": item.batch_id,
            "item_id": item.item_id,
            "attempt": item.attempt,
            "receive_count": ended.claimed.delivery.receive_count,
            "outcome": "error" if error else "done",
            "code": error.code if error else None,
            "counts": is_ours,
            "audio_s": ended.outcome.audio_s,
            "device_s": ended.outcome.device_s,
            "micro_batch": ended.outcome.micro_batch,
            "queue_wait_s": queue_wait_s,
        },
    )
