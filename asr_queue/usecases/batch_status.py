"""How far a batch has come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asr_queue.domain.batches import Batch, Progress, finished_at
from asr_queue.domain.estimates import ASSUMED_ITEM_S, estimate, lengths_s
from asr_queue.domain.items import Item
from asr_queue.ports import ItemTable
from asr_queue.usecases.queue_pulse import Outlook, Pulse, surroundings
from asr_queue.usecases.visible_batch import visible_batch
from asr_queue.wire.api import AudioAnswer, EstimateAnswer, ItemAnswer, StatusAnswer
from asr_queue.wire.times import iso, iso_or_none

FILES_PATH = "/api/v1/files/"
STATUS_PATH = "/api/v1/queue/status/"
_S_PER_HOUR: Final = 3600


def batch_status(
    batch_id: str, *, tenant: str | None, table: ItemTable, outlook: Outlook | None = None
) -> StatusAnswer:
    """Return a batch with its items; its status and counts come from one reading of them.

    Args:
        batch_id: whatever the client sent.
        tenant: whose batches may be seen; None where the id alone is the right to see it.
        outlook: what an unfinished batch's end is estimated from, and costs are; without it there is neither.

    Raises:
        CallerError: `batch_not_found`, for another tenant's too; `batch_deleted`.
    """
    batch, items = visible_batch(batch_id, tenant=tenant, table=table)
    progress = Progress.of(items)
    pulse = None if outlook is None or progress.is_finished else outlook.pulse()
    lengths = lengths_s(items, item_s=_item_s(outlook, pulse))
    usd_per_s = 0.0 if outlook is None else outlook.usd_per_hour / _S_PER_HOUR
    device_s = sum(item.device_s or 0.0 for item in items)
    return StatusAnswer(
        batch_id=batch.batch_id,
        label=batch.label,
        status=progress.status,
        completed=progress.completed,
        failed=progress.failed,
        total=progress.total,
        queued=progress.queued,
        processing=progress.processing,
        priority=batch.priority,
        created_at=iso(batch.created_at),
        finished_at=iso_or_none(finished_at(items)),
        audio_s=_audio(items, lengths),
        estimate=None
        if outlook is None or progress.is_finished
        else _estimate(batch, items, lengths, pulse, outlook.now),
        device_s=round(device_s, 6),
        cost_usd=_cost_usd(device_s, usd_per_s),
        items=[_answer(item, usd_per_s, is_keyed=tenant is not None) for item in items],
    )


def _item_s(outlook: Outlook | None, pulse: Pulse | None) -> float:
    if pulse is not None:
        return pulse.item_s
    return ASSUMED_ITEM_S if outlook is None else outlook.assumed_item_s


def _audio(items: Sequence[Item], lengths: Sequence[float]) -> AudioAnswer:
    ended_s = sum(length for item, length in zip(items, lengths, strict=True) if item.status.is_final)
    return AudioAnswer(
        done=round(ended_s, 3),
        total=round(sum(lengths), 3),
        is_estimate=any(item.audio_s is None and not item.status.is_final for item in items),
    )


def _estimate(
    batch: Batch, items: Sequence[Item], lengths: Sequence[float], pulse: Pulse | None, now: datetime
) -> EstimateAnswer:
    around = None if pulse is None else surroundings(pulse, batch, items, now=now)
    known = estimate(items, lengths, now=now, around=around)
    return EstimateAnswer(
        basis=known.basis,
        finish_at=iso_or_none(known.finish_at),
        seconds_left=None if known.seconds_left is None else round(known.seconds_left, 3),
        audio_s_per_s=None if known.audio_s_per_s is None else round(known.audio_s_per_s, 3),
        ahead_items=None if around is None else around.ahead_items,
        ahead_audio_s=None if around is None else round(around.ahead_items * around.item_s, 3),
        workers=None if around is None else around.workers,
    )


def _answer(item: Item, usd_per_s: float, *, is_keyed: bool) -> ItemAnswer:
    return ItemAnswer(
        item_id=item.item_id,
        custom_id=item.custom_id,
        ref_audio=item.upload_id if is_keyed else None,
        status=item.status,
        url=None if item.result_key is None else FILES_PATH + item.result_name,
        error=None if item.error is None else item.error.message,
        error_code=None if item.error is None else item.error.code,
        audio_s=item.audio_s,
        started_at=iso_or_none(item.started_at),
        finished_at=iso_or_none(item.finished_at),
        attempt=item.attempt,
        device_s=item.device_s,
        micro_batch=item.micro_batch,
        cost_usd=None if item.device_s is None else _cost_usd(item.device_s, usd_per_s),
    )


def _cost_usd(device_s: float, usd_per_s: float) -> float | None:
    """Return what a time of the device costs, to the ten-millionth; None where no price is set."""
    return round(device_s * usd_per_s, 7) if usd_per_s else None
