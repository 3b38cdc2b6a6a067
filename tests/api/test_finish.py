"""When the end of a batch is noted: soon after its last item's, whoever dies on the way."""

import pytest

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.domain.batches import Batch
from asr_queue.domain.items import ItemError
from asr_queue.errors import RetryableError
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.close_batch import close_batch, note_ended
from asr_queue.usecases.fail_dead_letter import fail_dead_letter
from asr_queue.usecases.record_outcome import Outcome, record_outcomes
from asr_queue.usecases.submit_batch import FIRST_CHECK_S
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.messages import ItemMessage
from tests.api.conftest import FILE_TTL_S, System

FAULT = ItemError("audio_undecodable", "This is no audio.")


def submitted(system: System, count: int) -> list[ItemMessage]:
    """Submit so many items as one batch; return what names them, in order."""
    answer = system.submit(*[system.upload()] * count)
    ids = enumerate(answer["item_ids"])
    return [ItemMessage(batch_id=answer["batch_id"], index=index, item_id=item_id) for index, item_id in ids]


def outcome(system: System, message: ItemMessage) -> Outcome:
    """Start an item, and have it fail."""
    item = claim_item(message, table=system.table, clock=system.clock)
    assert item is not None
    return Outcome(item=item, error=FAULT)


def record(system: System, *outcomes: Outcome, table: object = None) -> list[bool]:
    return record_outcomes(
        outcomes, store=system.store, table=table or system.table, clock=system.clock, file_ttl_s=FILE_TTL_S
    )


def batch_of(system: System, message: ItemMessage) -> Batch:
    found = system.table.load_batch(message.batch_id)
    assert found is not None
    return found[0]


def test_the_end_is_noted_with_the_last_item_and_not_before(system: System) -> None:
    first, second = submitted(system, 2)
    record(system, outcome(system, first))
    assert batch_of(system, first).finished_at is None
    last = outcome(system, second)
    system.clock.advance(1)
    record(system, last)
    batch = batch_of(system, first)
    assert (batch.finished_at, batch.completed, batch.failed) == (system.clock.now(), 0, 2)


def test_items_of_many_batches_that_end_together_end_them_all(system: System) -> None:
    messages = [message for _ in range(20) for message in submitted(system, 2)]
    record(system, *(outcome(system, message) for message in messages))
    assert all(batch_of(system, message).failed == 2 for message in messages)


def test_a_reply_that_is_lost_counts_twice_and_ends_nothing_early(system: System) -> None:
    first, second = submitted(system, 2)
    ended = outcome(system, first)
    lost = Faulty(system.table, lambda name: Fault.AFTER if name == "count_ended" else Fault.NONE)
    with pytest.raises(RetryableError):
        record(system, ended, table=lost)
    record(system, ended)
    assert batch_of(system, first).finished_at is None
    record(system, outcome(system, second))
    assert batch_of(system, first).failed == 2


def test_a_worker_that_died_before_it_counted_is_made_good_by_its_message(system: System) -> None:
    [message] = submitted(system, 1)
    dies = Faulty(system.table, lambda name: Fault.BEFORE if name == "count_ended" else Fault.NONE)
    with pytest.raises(RetryableError):
        record(system, outcome(system, message), table=dies)
    assert batch_of(system, message).finished_at is None
    assert claim_item(message, table=system.table, clock=system.clock) is None
    assert close_batch(message.batch_id, table=system.table, file_ttl_s=FILE_TTL_S)
    assert batch_of(system, message).failed == 1
    assert not close_batch(message.batch_id, table=system.table, file_ttl_s=FILE_TTL_S), "once"


def test_an_attempt_that_comes_too_late_makes_good_what_the_first_did_not_come_to(system: System) -> None:
    [message] = submitted(system, 1)
    slow = outcome(system, message)
    quick = outcome(system, message)
    system.table.finish_items([(quick.item.failed(FAULT, now=system.clock.now()), None)])
    assert record(system, slow) == [False]
    assert batch_of(system, message).failed == 1


def test_a_dead_letter_may_be_the_last(system: System) -> None:
    first, second = submitted(system, 2)
    record(system, outcome(system, first))
    assert fail_dead_letter(second, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S) is not None
    assert batch_of(system, first).failed == 2


def test_the_dead_letter_of_an_item_that_had_ended_unnoticed_is_noticed(system: System) -> None:
    [message] = submitted(system, 1)
    ended = outcome(system, message).item.failed(FAULT, now=system.clock.now())
    system.table.finish_items([(ended, None)])
    assert fail_dead_letter(message, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S) is None
    assert batch_of(system, message).failed == 1


def test_what_nobody_noticed_the_sweep_does(system: System) -> None:
    [message] = submitted(system, 1)
    ended = outcome(system, message).item.failed(FAULT, now=system.clock.now())
    system.table.finish_items([(ended, None)])
    system.clock.advance(FIRST_CHECK_S)
    swept = sweep_expired(
        store=system.store,
        table=system.table,
        queues=system.wired.queues,
        clock=system.clock,
        file_ttl_s=FILE_TTL_S,
    )
    assert swept.batches_finished == 1
    assert batch_of(system, message).finished_at == ended.finished_at


def test_a_deleted_batch_is_not_noted(system: System) -> None:
    [message] = submitted(system, 1)
    system.table.delete_batch(batch_of(system, message), now=system.clock.now())
    assert note_ended({message.batch_id: 1}, table=system.table, file_ttl_s=FILE_TTL_S) == 0
