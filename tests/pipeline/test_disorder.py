"""Everything that SQS may do to a worker, drawn by chance."""

import random
import time

import pytest

from asr_queue.domain.items import ItemStatus
from tests.pipeline.makers import wav
from tests.pipeline.rig import ImpatientQueue, RecordingEngine, Rig


@pytest.mark.parametrize("seed", range(3))
def test_with_double_deliveries_stale_handles_and_services_that_come_and_go_every_item_ends_once(seed):
    chance = random.Random(seed)
    rig = Rig(RecordingEngine(pass_s=0.03), micro_batch=4)
    rig.queue = ImpatientQueue(rig.clock, visibility_timeout_s=3, max_receives=1000, chance=chance)
    recordings = [b"no audio" if number % 7 == 0 else wav(0.5) for number in range(60)]
    batch = rig.submit(*recordings)
    switches = [rig.store.reads, rig.store.writes, rig.table.claims, rig.table.finishes]
    final_before: dict[str, tuple] = {}
    with rig.worker():
        deadline_s = time.monotonic() + 30
        while rig.messages:
            assert time.monotonic() < deadline_s
            for switch in switches:
                switch.is_away = chance.random() < 0.25
            rig.clock.advance(chance.choice([0, 1, 5, 30]))
            time.sleep(0.02)
            final = {
                item.item_id: (item.status, item.attempt, item.result_key)
                for item in rig.items(batch)
                if item.status.is_final
            }
            assert final_before.items() <= final.items()
            final_before = final
        for switch in switches:
            switch.is_away = False
    items = rig.items(batch)
    assert [item.status is ItemStatus.ERROR for item in items] == [number % 7 == 0 for number in range(60)]
    assert max(item.attempt for item in items) > 1, "there was no disorder"
    results = [item.result_key for item in items if item.result_key is not None]
    # An object may outlive its attempt only where the worker was told that the store was away as it removed it.
    assert set(results) <= set(rig.store.list_keys("results/"))
    assert all(rig.transcript(item)["text"] == "echo of 0.50 s" for item in items if item.result_key is not None)
