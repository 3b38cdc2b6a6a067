"""What a submit and a retry have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import Header, Request, Response

from asr_queue.domain.batches import Priority
from asr_queue.usecases.submit_batch import Spoken
from asr_queue.wire.api import SubmitAnswer
from handlers.observability import count, logger
from handlers.wiring import Services

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        description="Yours to choose, of visible ASCII; a repeated request with it gets the first one's answer.",
        pattern=r"^[\x21-\x7e]{1,255}$",
    ),
]


def tell_of_submit(
    answer: SubmitAnswer,
    *,
    priority: Priority,
    is_replay: bool,
    unsent: int,
    spoken: Spoken | None,
    wired: Services,
    request: Request,
    response: Response,
) -> None:
    """Tell the client, the log and the metrics what became of a submit."""
    request.state.ids |= {"batch_id": answer.batch_id, "items": answer.total_items}
    if is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    else:
        count("ItemsSubmitted", answer.total_items)
        wired.pulses.sent(answer.total_items, priority)
    note_voices(spoken, request.state.ids)
    if unsent:
        logger.warning("messages_not_sent", extra={**request.state.ids, "unsent": unsent})


def note_voices(spoken: Spoken | None, ids: Mapping[str, Any]) -> None:
    """Write down who has what said in whose voice, by ids alone: the record that `docs/security.md` tells of."""
    if spoken is not None:
        told = {**ids, "tenant": spoken.tenant, "samples": dict(spoken.samples)}
        logger.info("voice_clone_accepted", extra=told)
