"""A message that is lost while others keep coming: its item does not wait until the queue is empty."""

from uuid import uuid4

import pytest

from asr_queue.adapters.lanes import LaneQueue
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.domain.batches import Priority
from asr_queue.domain.items import Item, ItemStatus, Operation
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.api import SubmitItem, SubmitRequest
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript

FILE_TTL_S = 1800


class System:
    """One worker, tenants that submit, and a queue that is never empty when the sweep looks."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lanes = {priority: MemoryQueue(self.clock) for priority in Priority}
        self.queue = LaneQueue(self.lanes)
        self.store, self.table = MemoryStore(self.clock), MemoryTable(self.clock)
        self.queues = {Operation.TRANSCRIBE: self.queue}

    def submit(self, tenant: str, priority: Priority = Priority.NORMAL) -> str:
        file = accept_upload(
            b"audio",
            tenant=tenant,
            file_name="",
            content_type="",
            store=self.store,
            table=self.table,
            clock=self.clock,
            file_ttl_s=FILE_TTL_S,
        )
        items = [SubmitItem(operation="transcribe", ref_audio=file.file_id)]
        request = SubmitRequest(items=items, priority=priority)
        return submit_batch(
            request,
            tenant=tenant,
            table=self.table,
            queues=self.queues,
            clock=self.clock,
            idempotency_key=str(uuid4()),
        ).answer.batch_id

    def work(self, most: int) -> None:
        for delivery in self.queue.receive(max_messages=most, wait_s=0):
            item = claim_item(ItemMessage.parse(delivery.body), table=self.table, clock=self.clock)
            if item is not None:
                size = write_result(item, Transcript(text="", language=None).to_json(), store=self.store)
                outcome = Outcome(item=item, audio_s=1.0, result_bytes=size)
                record_outcomes([outcome], store=self.store, table=self.table, clock=self.clock, file_ttl_s=FILE_TTL_S)
            self.queue.delete([delivery.receipt_handle])

    def sweep(self) -> int:
        return sweep_expired(
            store=self.store, table=self.table, queues=self.queues, clock=self.clock, file_ttl_s=FILE_TTL_S
        ).items_resent

    def item(self, batch_id: str) -> Item:
        found = self.table.load_batch(batch_id)
        assert found is not None
        return found[1][0]


@pytest.mark.parametrize("traffic_every_s", [10, 30])
def test_a_lost_message_under_constant_traffic_is_sent_again_within_minutes(traffic_every_s: int) -> None:
    system = System()
    lost = system.submit("anna")
    system.lanes[Priority.NORMAL].drop_all()
    system.submit("anna")
    for second in range(0, 600, traffic_every_s):
        system.clock.advance(traffic_every_s)
        system.submit("anna")
        if second % 30 == 0:
            system.sweep()
        system.work(1)
    assert system.item(lost).status is ItemStatus.DONE


def test_what_waits_behind_others_is_not_sent_again() -> None:
    system = System()
    for _ in range(200):
        system.submit("anna")
        system.clock.advance(1)
    resent = 0
    for _ in range(60):
        system.clock.advance(30)
        system.submit("bert")
        system.work(2)
        resent += system.sweep()
    assert resent == 0, "nobody overtook them but another tenant"


def test_a_message_lost_in_one_lane_is_missed_however_busy_another_one_is() -> None:
    system = System()
    lost = system.submit("anna", Priority.LOW)
    system.lanes[Priority.LOW].drop_all()
    for _ in range(20):
        system.submit("anna")
        system.clock.advance(30)
        system.submit("anna")
        system.sweep()
        system.work(1)
    assert system.lanes[Priority.NORMAL].backlog().visible
    assert system.item(lost).status is ItemStatus.DONE


def test_what_is_sent_again_goes_to_its_own_lane() -> None:
    system = System()
    for priority in Priority:
        system.submit("anna", priority)
        system.lanes[priority].drop_all()
        system.clock.advance(200)
        system.sweep()
        assert [lane for lane, queue in system.lanes.items() if queue.backlog().visible] == [priority]
        system.work(1)


def test_what_waits_with_low_priority_is_not_missed_when_the_same_tenants_high_one_overtakes_it() -> None:
    system = System()
    for _ in range(100):
        system.submit("anna", Priority.LOW)
    resent = 0
    for _ in range(60):
        system.clock.advance(30)
        for _ in range(2):
            system.submit("anna", Priority.HIGH)
        system.work(2)
        resent += system.sweep()
    assert resent == 0
