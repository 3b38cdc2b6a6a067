"""Tell of a finished batch: the event bus once, and its callback until that has taken it, or too often has not."""

import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from math import ceil

from asr_queue import __version__
from asr_queue.domain.notices import CLAIM_S, Attempt, Notice
from asr_queue.domain.signatures import signed_headers
from asr_queue.errors import RetryableError
from asr_queue.ports import MAX_DELAY_S, Clock, EventBus, NoticeQueue, NoticeTable, WebhookCaller
from asr_queue.usecases.batch_status import STATUS_PATH
from asr_queue.usecases.webhook_secret import webhook_secret
from asr_queue.wire.webhooks import FinishedEvent, Webhook


def announce_batch(
    batch_id: str,
    *,
    table: NoticeTable,
    queue: NoticeQueue | None,
    events: EventBus,
    caller: WebhookCaller,
    clock: Clock,
    backoff_s: Sequence[float],
) -> Notice | None:
    """See to what is left to be told of a batch, and keep what came of it.

    Args:
        queue: where the next attempt is asked for, if it is soon; None leaves each to the sweep.
        backoff_s: waits after the first failed attempt, the second, ...; after as many and one it is given up.

    Returns:
        The notice as it now stands; None where there was nothing to do: it is told already, not yet to be told again,
        in another one's hands, or its batch was deleted.

    Raises:
        RetryableError: something is left to do, and the notice becomes due again for that.
    """
    now = clock.now()
    notice = table.claim_notice(batch_id, now=now, until=now + timedelta(seconds=CLAIM_S))
    if notice is None:
        return None
    status_url = STATUS_PATH + batch_id
    try:
        if not notice.is_published:
            events.publish(FinishedEvent.of(notice, status_url=status_url))
            notice = notice.published()
    finally:  # a bus that is away, or not ours to use, keeps nothing from the callback
        if notice.is_to_deliver:
            body = Webhook.of(notice, status_url=status_url).model_dump_json().encode()
            notice = notice.attempted(_attempt(notice, body, table, caller, clock), backoff_s=backoff_s)
        notice = notice.rescheduled(now=clock.now(), backoff_s=backoff_s, spread=random.random())  # noqa: S311
        if table.save_notice(notice) and queue is not None:
            _remind(notice, queue, clock)
    return notice


def _attempt(notice: Notice, body: bytes, table: NoticeTable, caller: WebhookCaller, clock: Clock) -> Attempt:
    at = clock.now()
    secrets = webhook_secret(notice.tenant, table=table, clock=clock)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"asr-queue/{__version__}",
        **signed_headers(body, webhook_id=notice.webhook_id, at=at, keys=secrets.in_force(at)),
    }
    status, error = caller.post(notice.callback_url or "", headers=headers, body=body)
    return Attempt(at=at, status=status, error=error, duration_s=(clock.now() - at).total_seconds())


def _remind(notice: Notice, queue: NoticeQueue, clock: Clock) -> None:
    """Have a message come at the notice's time, where a message can wait so long; else the sweep sends it."""
    if notice.next_attempt_at is None:
        return
    delay_s = max(0, ceil((notice.next_attempt_at - clock.now()).total_seconds()))
    if delay_s <= MAX_DELAY_S:
        with suppress(RetryableError):
            queue.send(notice.batch_id, tenant=notice.tenant, delay_s=delay_s)
