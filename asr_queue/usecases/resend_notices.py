"""Have notices seen to that nobody saw to in time: their message was lost, or could not wait so long."""

from datetime import timedelta
from typing import Final

from asr_queue.ports import Clock, NoticeQueue, NoticeTable

_LIMIT: Final = 5000
"""Notices of one run; the next run goes on."""
_LEAST_POSTPONE_S: Final = 60.0
_MOST_POSTPONE_S: Final = 1800.0


def resend_notices(*, table: NoticeTable, queue: NoticeQueue, clock: Clock) -> int:
    """Send a message for each notice that is due; return how many.

    Where they wait because there are many, each is named again and again, and ever more seldom.

    Raises:
        RetryableError: a service failed; the next run does the rest.
    """
    now = clock.now()
    due = table.due_notices(now=now, limit=_LIMIT)
    for notice in due:
        queue.send(notice.batch_id, tenant=notice.tenant)
        waited_s = (now - (notice.next_attempt_at or now)).total_seconds()
        wait_s = min(max(waited_s, _LEAST_POSTPONE_S), _MOST_POSTPONE_S)
        table.postpone_notice(notice, next_check_at=now + timedelta(seconds=wait_s))
    return len(due)
