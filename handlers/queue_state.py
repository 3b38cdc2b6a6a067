"""The queue as a whole: what waits, who works on it, and how fast."""

from fastapi import APIRouter

from asr_queue.usecases.queue_pulse import queue_state
from asr_queue.wire.api import QueueAnswer
from handlers.access import Uploader, Wired
from handlers.examples import QUEUE, problems

router = APIRouter(prefix="/api/v1/queue", tags=["queue"])


@router.get(
    "",
    operation_id="queue_state",
    summary="Look at the queue",
    response_model=QueueAnswer,
    responses={200: {"content": {"application/json": {"example": QUEUE}}}, **problems(401, 429, 503)},
)
def state(wired: Wired, tenant: Uploader) -> QueueAnswer:
    """Return what waits and the workers that live, two seconds old at the most.

    These are everybody's numbers and name nobody. A key is needed, wherever others do not need one.
    """
    del tenant
    return queue_state(wired.pulses.now())
