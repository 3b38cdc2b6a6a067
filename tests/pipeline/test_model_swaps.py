"""One worker, two operations, and a device that holds one model: the real worker, with engines that only sleep."""

from asr_queue.domain.items import Operation
from benchmarks.swaps.real import work
from gpu_worker.scheduler import choose

PASS_S = {Operation.TRANSCRIBE: 0.02, Operation.VOICE_CLONE: 0.03}
BOUND_S = 30.0


def test_mixed_items_cost_one_change_of_model_and_none_waits_past_the_bound():
    run = work(60, policy=choose, pass_s=PASS_S, swap_s=0.05, bound_s=BOUND_S)
    assert run.swaps == 1
    assert [len(waits_s) for waits_s in run.waits_s.values()] == [30, 30]
    assert max(max(waits_s) for waits_s in run.waits_s.values()) < BOUND_S


def test_a_short_bound_brings_the_other_model_before_all_is_done():
    run = work(200, policy=choose, pass_s={**PASS_S, Operation.TRANSCRIBE: 0.3}, swap_s=0.05, bound_s=2.5)
    assert run.swaps >= 2, "the first one came back for what it had left"
