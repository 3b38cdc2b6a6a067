"""Reports of workers of other releases, as their rows have them."""

from datetime import UTC, datetime

from asr_queue.adapters.dynamodb.workers import _report, _row
from asr_queue.domain.items import Operation
from asr_queue.domain.workers import WorkerReport

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_TOLD = WorkerReport(
    worker_id="a-worker",
    engine="echo",
    started_at=_NOW,
    seen_at=_NOW,
    held_items=1,
    micro_batch_max=16,
    resident=frozenset({Operation.TRANSCRIBE}),
    swaps=2,
    mean_swap_s=0.25,
    device_bytes=4_000_000_000,
)
_NEWER_FIELDS = ("resident", "swaps", "mean_swap_s", "device_bytes")


def test_a_row_of_the_release_before_says_nothing_of_models() -> None:
    row = {name: value for name, value in _row(_TOLD).items() if name not in _NEWER_FIELDS}
    told = _report(row)
    assert (told.resident, told.swaps, told.mean_swap_s, told.device_bytes) == (frozenset(), 0, None, None)
    assert told.worker_id == _TOLD.worker_id


def test_an_operation_that_is_not_known_yet_is_left_out() -> None:
    row = _row(_TOLD)
    assert _report(row | {"resident": ["sing", "transcribe"], "tempo": 3}) == _TOLD
