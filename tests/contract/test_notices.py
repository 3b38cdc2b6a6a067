"""What NoticeTable promises, NoticeQueue, and EventBus."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from asr_queue.adapters.dynamodb.notices import DynamoNoticeTable
from asr_queue.adapters.dynamodb.table import DynamoItemTable
from asr_queue.adapters.eventbridge import DETAIL_TYPE, SOURCE, EventBridge
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_notices import MemoryNoticeQueue
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.sqs_notices import SqsNoticeQueue
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.batches import Batch, BatchStatus
from asr_queue.domain.notices import Attempt, DeliveryState, Notice
from asr_queue.domain.signatures import Secrets
from asr_queue.ports import NOTICE_LATE_S, ItemTable, NoticeTable
from asr_queue.wire.messages import NoticeMessage
from asr_queue.wire.webhooks import FinishedEvent
from tests.contract import second_aws
from tests.contract.conftest import _client, _emulator
from tests.contract.test_item_table import a_batch, an_upload, the_end_of

BACKOFF_S = (5.0, 300.0)
CLAIM = timedelta(seconds=90)


@pytest.fixture
def tables(kind: str, clock: ManualClock, request: pytest.FixtureRequest) -> Iterator[tuple[ItemTable, NoticeTable]]:
    """Where notices come from, and where they are."""
    if kind == "fake":
        table = MemoryTable(clock)
        yield table, table.notices
        return
    aws = _emulator(kind, request)
    client = _client(aws, "dynamodb")
    with second_aws.a_table(client) if kind == "moto" else nullcontext(aws["ASR_QUEUE_TABLE"]) as name:
        known = {"clock": clock, "row_retention_s": 86_400}
        yield DynamoItemTable(client, name, **known), DynamoNoticeTable(client, name, **known)


@pytest.fixture
def notices(tables: tuple[ItemTable, NoticeTable]) -> NoticeTable:
    return tables[1]


def finished(
    tables: tuple[ItemTable, NoticeTable], clock: ManualClock, *, callback_url: str | None = "https://a.example/"
) -> tuple[Batch, Notice]:
    """Create a batch and note its end; return it with the notice as it was told to be kept."""
    batch, items = a_batch(clock, [an_upload(tables[0], clock)])
    batch = replace(batch, callback_url=callback_url)
    tables[0].create_batch(batch, items)
    notice = the_end_of(batch, clock.now(), failed=1)
    assert tables[0].finish_batch(notice, read_until=clock.now() + timedelta(seconds=1800))
    return batch, notice


def claimed(notices: NoticeTable, clock: ManualClock, notice: Notice) -> Notice:
    found = notices.claim_notice(notice.batch_id, now=clock.now(), until=clock.now() + CLAIM)
    assert found is not None
    return found


def due_ids(notices: NoticeTable, clock: ManualClock) -> set[str]:
    return {notice.batch_id for notice in notices.due_notices(now=clock.now(), limit=5000)}


def attempted(notice: Notice, clock: ManualClock, status: int | None, error: str | None = None) -> Notice:
    attempt = Attempt(at=clock.now(), status=status, error=error, duration_s=0.125)
    after = notice.published().attempted(attempt, backoff_s=BACKOFF_S)
    return after.rescheduled(now=clock.now(), backoff_s=BACKOFF_S, spread=0.0)


class TestNotices:
    def test_a_finished_batch_has_its_notice(self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock) -> None:
        _, notice = finished(tables, clock)
        assert tables[1].get_notice(notice.batch_id) == notice
        assert tables[1].get_notice(str(uuid4())) is None
        _, silent = finished(tables, clock, callback_url=None)
        assert tables[1].get_notice(silent.batch_id) == silent

    def test_one_at_a_time_has_a_notice(self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        first = claimed(notices, clock, notice)
        assert replace(first, claim=None, next_attempt_at=notice.next_attempt_at) == notice
        assert notices.claim_notice(notice.batch_id, now=clock.now(), until=clock.now() + CLAIM) is None
        assert notices.claim_notice(str(uuid4()), now=clock.now(), until=clock.now() + CLAIM) is None

    def test_whoever_dies_with_a_notice_in_hand_loses_it(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        dead = claimed(notices, clock, notice)
        clock.advance(CLAIM.total_seconds())
        heir = claimed(notices, clock, notice)
        assert not notices.save_notice(attempted(dead, clock, 500)), "what a ghost did is not kept"
        told = attempted(heir, clock, 204)
        assert notices.save_notice(told)
        assert notices.get_notice(notice.batch_id) == replace(told, claim=None)

    def test_what_was_tried_is_kept_and_tried_again_at_its_time(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        failed = attempted(claimed(notices, clock, notice), clock, None, "no answer")
        assert notices.save_notice(failed)
        assert notices.get_notice(notice.batch_id) == replace(failed, claim=None)
        clock.advance(BACKOFF_S[0] - 0.001)
        assert notices.claim_notice(notice.batch_id, now=clock.now(), until=clock.now() + CLAIM) is None
        clock.advance(0.001)
        told = attempted(claimed(notices, clock, notice), clock, 200)
        assert notices.save_notice(told)
        clock.advance(100_000)
        assert notices.claim_notice(notice.batch_id, now=clock.now(), until=clock.now() + CLAIM) is None
        assert notice.batch_id not in due_ids(notices, clock)
        assert [attempt.status for attempt in told.attempts] == [None, 200]

    def test_a_notice_that_nobody_sees_to_is_due_until_it_is_postponed(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        clock.advance(NOTICE_LATE_S - 0.001)
        assert notice.batch_id not in due_ids(notices, clock)
        clock.advance(0.001)
        assert notice.batch_id in due_ids(notices, clock)
        notices.postpone_notice(notice, next_check_at=clock.now() + timedelta(seconds=60))
        assert notice.batch_id not in due_ids(notices, clock)
        mine = claimed(notices, clock, notice)
        clock.advance(60)
        assert notice.batch_id not in due_ids(notices, clock), "somebody sees to it"
        clock.advance(CLAIM.total_seconds() + NOTICE_LATE_S - 60)
        assert notice.batch_id in due_ids(notices, clock), "somebody died"
        assert notices.save_notice(attempted(mine, clock, 410))
        notices.postpone_notice(notice, next_check_at=clock.now())
        assert notice.batch_id not in due_ids(notices, clock), "nothing is left to do"

    def test_a_replay_begins_anew_and_keeps_the_log(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        given_up = attempted(claimed(notices, clock, notice), clock, 410)
        assert notices.save_notice(given_up)
        clock.advance(1000)
        again = notices.replay_notice(notice.batch_id, now=clock.now())
        assert again == replace(given_up, state=DeliveryState.PENDING, next_attempt_at=clock.now(), claim=None)
        assert claimed(notices, clock, notice).attempts == given_up.attempts
        assert notices.replay_notice(str(uuid4()), now=clock.now()) is None

    def test_an_attempt_under_way_is_left_to_its_end(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        notices = tables[1]
        _, notice = finished(tables, clock)
        mine = claimed(notices, clock, notice)
        assert notices.replay_notice(notice.batch_id, now=clock.now()) == mine
        assert notices.save_notice(attempted(mine, clock, 204))
        clock.advance(1)
        _, other = finished(tables, clock)
        claimed(notices, clock, other)
        clock.advance(CLAIM.total_seconds())
        replayed = notices.replay_notice(other.batch_id, now=clock.now())
        assert replayed is not None
        assert replayed.claim is None, "its maker has died"

    def test_a_deleted_batch_is_not_told_of(self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock) -> None:
        table, notices = tables
        batch, notice = finished(tables, clock)
        mine = claimed(notices, clock, notice)
        table.delete_batch(batch, now=clock.now())
        assert notices.get_notice(notice.batch_id) is None
        assert not notices.save_notice(attempted(mine, clock, 500)), "and does not come back"
        assert notices.replay_notice(notice.batch_id, now=clock.now()) is None


class TestSecrets:
    def test_the_first_secret_stands_until_it_is_rotated(self, notices: NoticeTable, clock: ManualClock) -> None:
        tenant = f"tenant {uuid4()}"
        assert notices.get_secrets(tenant) is None
        first, late = (Secrets.new(tenant, now=clock.now()) for _ in range(2))
        assert notices.put_secrets(first, instead_of=None)
        assert not notices.put_secrets(late, instead_of=None)
        clock.advance(1)
        rotated = first.rotated(now=clock.now())
        assert not notices.put_secrets(rotated, instead_of=late)
        assert notices.put_secrets(rotated, instead_of=first)
        assert not notices.put_secrets(first.rotated(now=clock.now()), instead_of=first)
        assert notices.get_secrets(tenant) == rotated

    def test_they_go_with_their_tenant_and_so_do_its_notices(
        self, tables: tuple[ItemTable, NoticeTable], clock: ManualClock
    ) -> None:
        table, notices = tables
        tenant = f"tenant-{uuid4()}"
        batch, items = a_batch(clock, [an_upload(table, clock, tenant=tenant)])
        batch = replace(batch, tenant=tenant)
        table.create_batch(batch, items)
        assert table.finish_batch(the_end_of(batch, clock.now()), read_until=clock.now())
        assert notices.put_secrets(Secrets.new(tenant, now=clock.now()), instead_of=None)
        table.forget_tenant(tenant)
        assert notices.get_secrets(tenant) is None
        assert notices.get_notice(batch.batch_id) is None


def test_a_message_names_its_batch_and_waits_as_long_as_it_was_told(kind: str, request: pytest.FixtureRequest) -> None:
    batch_ids = [str(uuid4()) for _ in range(2)]
    if kind == "fake":
        clock = ManualClock()
        memory = MemoryNoticeQueue(clock)
        memory.send(batch_ids[0], tenant="a b", delay_s=2)
        memory.send(batch_ids[1], tenant="a b")
        assert memory.receive() == [batch_ids[1]]
        clock.advance(2)
        assert memory.receive() == [batch_ids[0]]
        return
    sqs = _client(_emulator(kind, request), "sqs")
    url = sqs.create_queue(QueueName=f"contract-{uuid4()}")["QueueUrl"]
    queue = SqsNoticeQueue(sqs, url)
    began_s = time.monotonic()
    queue.send(batch_ids[0], tenant="a b", delay_s=2)
    queue.send(batch_ids[1], tenant="a b")
    come: list[str] = []
    while len(come) < 2:
        told = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", [])
        come += [NoticeMessage.parse(message["Body"]).batch_id for message in told]
        assert time.monotonic() < began_s + 30
    assert come == batch_ids[::-1]
    assert time.monotonic() >= began_s + 2
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("kind", ["emulator"], indirect=True)
def test_a_rule_finds_the_event_of_a_finished_batch(kind: str, request: pytest.FixtureRequest) -> None:
    aws = _emulator(kind, request)
    events, sqs = _client(aws, "events"), _client(aws, "sqs")
    url = sqs.create_queue(QueueName=f"contract-{uuid4()}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = f"contract-{uuid4()}"
    pattern = {"source": [SOURCE], "detail-type": [DETAIL_TYPE], "detail": {"status": ["partial"], "tenant": ["acme"]}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    told = FinishedEvent(
        batch_id=str(uuid4()),
        tenant="acme",
        label="ünïcode",
        status=BatchStatus.PARTIAL,
        completed=1,
        failed=1,
        total=2,
        finished_at="2026-01-31T12:00:00.000Z",
        status_url="/api/v1/queue/status/x",
    )
    bus = EventBridge(events, "default")
    bus.publish(told.model_copy(update={"status": BatchStatus.COMPLETED}))
    bus.publish(told)
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("asr-queue", "Batch Finished")
    assert FinishedEvent.model_validate(event["detail"]) == told
    assert SystemClock().now().isoformat()[:4] == event["time"][:4]
    events.remove_targets(Rule=rule, Ids=["queue"])
    events.delete_rule(Name=rule)
    sqs.delete_queue(QueueUrl=url)
