"""The item protocol under everything that AWS, workers and time may do, in any order.

The machine uploads, submits, receives, crashes, stalls, repeats, expires and finishes, a step at a time. The workers'
halves are the real ones: what receives, what holds leases, what publishes and acknowledges. Around them AWS takes every
freedom it has: calls fail before, after or long before they take effect, messages come twice and out of order, stale
receipt handles delete or do not, lists of what is due and counts of what waits are those of a moment ago.

Whatever happens, every accepted item ends final exactly once, with at most one visible transcript.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.adapters.lanes import LaneQueue
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.domain.batches import Batch, Priority, Progress, finished_at
from asr_queue.domain.drops import Drop
from asr_queue.domain.items import CANCELLED, Item, ItemStatus, Operation
from asr_queue.errors import AsrQueueError, CallerError, RetryableError
from asr_queue.ports import Backlog
from asr_queue.usecases.accept_drop import NOTE_LIFE_S, accept_drop
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.usecases.fail_dead_letter import fail_dead_letter
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.register_drops import register_drop
from asr_queue.usecases.submit_batch import FIRST_CHECK_S, submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.notes import Receipt
from asr_queue.wire.transcript import Transcript
from gpu_worker.leases import Leases
from gpu_worker.pipeline import backoff
from gpu_worker.pipeline.publish import Ended, Publisher
from gpu_worker.pipeline.receive import claim, hold
from gpu_worker.work import Assembled, Claimed, Failed
from tests.stateful.parts import Parts

TENANT = "acme"
FILE_TTL_S = 60
VISIBILITY_TIMEOUT_S = 30
HEARTBEAT_S = 10
EMPTY = Backlog(visible=0, in_flight=0)
UNREADABLE = CallerError("audio_undecodable", "This is no audio.")
PATIENCE_S = 0.2
"""Enough to try two or three times."""
LATEST_S = 5
"""How long after its failure a call may still take effect."""

PICK = st.integers(0, 9)
WHO = st.integers(0, 1)
"""One of two workers."""
FAULTS = st.just([]) | st.lists(
    st.sampled_from([Fault.NONE, Fault.NONE, Fault.BEFORE, Fault.AFTER, Fault.LATE]), min_size=1, max_size=4
)
"""Those of a step's first calls; all others go well."""
DEATHS = st.builds(lambda calls: [Fault.NONE] * calls + [None], st.integers(0, 5))
"""A process that dies before one of its next calls."""
LATE_FAULTS = st.builds(lambda calls, faults: [Fault.NONE] * calls + faults, st.integers(0, 14), FAULTS)
"""A drop takes more calls than the other steps."""


class DiesError(BaseException):
    """The process ends here."""


class WatchedQueue(MemoryQueue):
    """A queue whose counts may be those of the time before, and which remembers what it was sent and told."""

    def __init__(self, clock: ManualClock, chance: random.Random) -> None:
        super().__init__(clock, visibility_timeout_s=VISIBILITY_TIMEOUT_S, max_receives=4, chance=chance)
        self.sent: list[ItemMessage] = []
        self.told: Backlog | None = None
        self._counts_may_be_old = chance
        self._counted_before = EMPTY

    def send(
        self, messages: Sequence[ItemMessage], *, tenant: str, priority: Priority = Priority.NORMAL
    ) -> list[ItemMessage]:
        self.sent += messages
        return super().send(messages, tenant=tenant, priority=priority)

    def named(self) -> set[str]:
        """Return the ids of the items that any message names, dead letters included."""
        bodies = [message.body for message in self._messages] + self.dead_letters
        return {ItemMessage.parse(body).item_id for body in bodies}

    def backlog(self) -> Backlog:
        now, before = super().backlog(), self._counted_before
        self._counted_before = now
        self.told = told = before if self._counts_may_be_old.random() < 0.2 else now
        return told


class NoTime:
    """What a worker that tries again measures its patience by: waiting takes no time of ours."""

    def __init__(self) -> None:
        self._waited_s = 0.0

    def monotonic(self) -> float:
        return self._waited_s

    def sleep(self, seconds: float) -> None:
        self._waited_s += seconds


@dataclass(slots=True)
class Worker:
    """A process that takes items: what it has in hand, and what keeps that hidden from others."""

    leases: Leases
    publisher: Publisher
    held: list[Claimed] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


class Protocol(RuleBasedStateMachine):
    """Clients, workers, the sweep and the dead-letter function, each a step at a time."""

    parts = Parts()

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(backoff, "time", NoTime())
        self.clock = ManualClock()
        self.chance = random.Random()
        self.lanes = {priority: WatchedQueue(self.clock, self.chance) for priority in Priority}
        self.queue = LaneQueue(self.lanes)
        self.real_store = MemoryStore(self.clock)
        self.real_table = self.parts.table(self.clock, chance=self.chance)
        create_key(tenant=TENANT, name="test", table=self.real_table, clock=self.clock)
        self.faults: list[Fault | None] = []
        self.late: list[Callable[[], object]] = []
        self.store = Faulty(self.real_store, self.next_fault, late=self.late)
        self.table = Faulty(self.real_table, self.next_fault, late=self.late)
        self.faulty_queue = Faulty(self.queue, self.next_fault, late=self.late)
        self.queues = {Operation.TRANSCRIBE: self.faulty_queue}
        self.workers = [self.new_worker() for _ in range(2)]
        self.uploads: list[str] = []
        self.batches: set[str] = set()
        self.dropped: list[str] = []
        """Manifests."""
        self.told: set[str] = set()
        """Keys that were served to the end."""
        self.batch_of: dict[str, str] = {}
        """By manifest."""
        self.final: dict[str, Item] = {}
        self.lost: set[str] = set()
        """Ids of the items whose messages were lost, sometime."""
        self.attempts: set[tuple[str, int]] = set()
        self.too_late: set[str] = set()
        """Keys of results that were written when their batch had been done with. The worker that does so removes them,
        and where it dies before it can, the bucket's lifecycle rule does (docs/data.md)."""

    def next_fault(self, name: str) -> Fault:
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        if fault is None:
            raise DiesError
        return fault

    @contextmanager
    def alive(self, worker: Worker, faults: list[Fault | None]) -> Iterator[None]:
        """Let a worker do something, with these faults; if it dies of them, there is another one."""
        self.faults = faults
        try:
            yield
        except DiesError:
            self.workers[self.workers.index(worker)] = self.new_worker()
        finally:
            self.faults = []

    def new_worker(self) -> Worker:
        leases = self.parts.leases(self.faulty_queue, visibility_timeout_s=VISIBILITY_TIMEOUT_S)
        publisher = self.parts.publisher(
            store=self.store,
            table=self.table,
            clock=self.clock,
            leases=leases,
            file_ttl_s=FILE_TTL_S,
            patience_s=PATIENCE_S,
            stopping=threading.Event(),
        )
        return Worker(leases, publisher)

    # -- clients ---------------------------------------------------------------------------------------------------

    @rule(faults=FAULTS)
    def upload(self, faults: list[Fault]) -> None:
        self.faults = faults
        try:
            file = accept_upload(
                b"audio",
                tenant=TENANT,
                file_name="talk.wav",
                content_type="audio/wav",
                store=self.store,
                table=self.table,
                clock=self.clock,
                file_ttl_s=FILE_TTL_S,
            )
        except RetryableError:
            return
        self.uploads.append(file.file_id)

    @precondition(lambda self: self.uploads)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=4),
        faults=FAULTS,
        tries=st.integers(1, 3),
        priority=st.sampled_from(Priority),
    )
    def submit(self, picks: list[int], faults: list[Fault], tries: int, priority: Priority = Priority.NORMAL) -> None:
        """A client with an Idempotency-Key, which may give up."""
        self.faults = faults
        file_ids = [self.uploads[-1 - pick % len(self.uploads)] for pick in picks]
        key = str(uuid4())
        items = [SubmitItem(operation="transcribe", ref_audio=file_id) for file_id in file_ids]
        answers = set()
        for _ in range(tries):
            try:
                submitted = submit_batch(
                    SubmitRequest(items=items, priority=priority),
                    tenant=TENANT,
                    table=self.table,
                    queues=self.queues,
                    clock=self.clock,
                    idempotency_key=key,
                )
            except RetryableError:
                continue
            except CallerError as error:
                assert error.code in ("file_expired", "request_in_progress")
                continue
            answers.add(submitted.answer.batch_id)
        assert len(answers) <= 1, "one Idempotency-Key made two batches"
        self.batches |= answers

    @precondition(lambda self: self.batch_ids())
    @rule(pick=PICK, of_one=st.sampled_from([True, True, False]), faults=FAULTS)
    def cancel(self, pick: int, of_one: bool, faults: list[Fault]) -> None:
        """Of any batch, or an item of it, however far it has come."""
        self.faults = faults
        batch_id = self.batch_ids()[pick % len(self.batch_ids())]
        before = [item for item in self.items() if item.batch_id == batch_id]
        meant = [before[pick % len(before)]] if of_one else before
        try:
            cancelled = cancel_items(
                batch_id,
                item_id=meant[0].item_id if of_one else None,
                tenant=TENANT,
                table=self.table,
                clock=self.clock,
                file_ttl_s=FILE_TTL_S,
            )
        except RetryableError:
            return
        after = {item.item_id: item for item in self.items()}
        newly = [after[item.item_id] for item in meant if not item.status.is_final]
        assert all(item.error is not None and item.error.code == CANCELLED for item in newly), "it was to end"
        assert cancelled == len(newly)

    @rule(count=st.integers(1, 3))
    def drop(self, count: int) -> None:
        """Somebody who knows the bucket alone; the bucket tells of it sometime, or never."""
        folder = f"drop/{TENANT}/{uuid4()}/"
        items = [{"operation": "transcribe", "ref_audio": f"{number}.wav"} for number in range(count)]
        for number in range(count):
            self.real_store.put(f"{folder}{number}.wav", b"audio", content_type="audio/wav")
        manifest = f"{folder}all.manifest.json"
        data = json.dumps({"label": manifest, "items": items}).encode()
        self.real_store.put(manifest, data, content_type="application/json")
        self.dropped.append(manifest)

    @precondition(lambda self: self.dropped)
    @rule(pick=PICK, of_recording=st.booleans(), faults=LATE_FAULTS)
    def the_bucket_tells(self, pick: int, of_recording: bool, faults: list[Fault]) -> None:
        """Of any earlier drop, again or for the first time, of its recording or its manifest."""
        self.faults = faults
        manifest = self.dropped[-1 - pick % len(self.dropped)]
        key = manifest.replace("all.manifest.json", "0.wav") if of_recording else manifest
        try:
            accepted = accept_drop(
                key,
                store=self.store,
                table=self.table,
                queues=self.queues,
                clock=self.clock,
                file_ttl_s=FILE_TTL_S,
                max_upload_bytes=100,
            )
        except RetryableError:
            return
        self.told.add(key)
        if accepted.submitted is not None:
            receipt = Receipt.model_validate_json(self.real_store.get(f"{manifest}.receipt.json") or b"")
            assert receipt.batch_id == accepted.submitted.answer.batch_id
            assert self.batch_of.setdefault(manifest, receipt.batch_id) == receipt.batch_id, "one put, two batches"
            self.batches.add(receipt.batch_id)
        if accepted.refusal is not None:
            assert manifest not in self.batch_of, "it became a batch and was refused"
            assert accepted.refusal.code in ("dropped_object_missing", "file_expired")

    # -- workers ---------------------------------------------------------------------------------------------------

    @rule(who=WHO, count=st.integers(1, 10), faults=FAULTS | DEATHS)
    def receive_and_claim(self, who: int, count: int, faults: list[Fault | None]) -> None:
        worker = self.workers[who]
        with self.alive(worker, faults):
            self.take(worker, count)

    @precondition(lambda self: any(worker.held for worker in self.workers))
    @rule(who=WHO, pick=PICK, fails=st.booleans(), faults=FAULTS | DEATHS)
    def write_result(self, who: int, pick: int, fails: bool, faults: list[Fault | None]) -> None:
        worker = self.one_of_those(who, lambda worker: worker.held)
        with self.alive(worker, faults):
            self.finish(worker, worker.held.pop(pick % len(worker.held)), fails=fails)

    @precondition(lambda self: any(worker.ended for worker in self.workers))
    @rule(who=WHO, pick=PICK, count=st.integers(1, 5), faults=FAULTS | DEATHS)
    def record_and_acknowledge(self, who: int, pick: int, count: int, faults: list[Fault | None]) -> None:
        worker = self.one_of_those(who, lambda worker: worker.ended)
        start = pick % len(worker.ended)
        some, worker.ended[start : start + count] = worker.ended[start : start + count], []
        with self.alive(worker, faults):
            worker.publisher.record(some)

    @rule(who=WHO, count=st.integers(1, 10), faults=FAULTS | DEATHS)
    def work_to_the_end(self, who: int, count: int, faults: list[Fault | None]) -> None:
        """All of a worker's steps, one after the other, and a disturbance at the last."""
        self.receive_and_claim(who, count, [])
        worker = self.workers[who]
        while worker.held:
            self.finish(worker, worker.held.pop(), fails=False)
        some, worker.ended = worker.ended, []
        if some:
            with self.alive(worker, faults):
                worker.publisher.record(some)

    @precondition(lambda self: any(worker.leases.held() for worker in self.workers))
    @rule(who=WHO, faults=FAULTS | DEATHS)
    def another_takes_over(self, who: int, faults: list[Fault | None]) -> None:
        """A worker stalls until its leases have run out, and goes on when another one has done its work."""
        stalled = self.one_of_those(who, lambda worker: worker.leases.held())
        self.time_passes(VISIBILITY_TIMEOUT_S + 1)
        self.work_to_the_end(1 - self.workers.index(stalled), 10, faults)

    @rule(who=WHO, faults=FAULTS)
    def heartbeat(self, who: int, faults: list[Fault]) -> None:
        """One that comes too late, or never, is a worker that stalls: others take over what it holds."""
        self.faults = faults
        self.workers[who].leases.renew()

    @precondition(lambda self: any(worker.leases.held() for worker in self.workers))
    @rule(who=WHO)
    def crash(self, who: int) -> None:
        """A worker dies; what it held comes again by itself."""
        dead = self.one_of_those(who, lambda worker: worker.leases.held())
        self.workers[self.workers.index(dead)] = self.new_worker()

    @precondition(lambda self: any(worker.held for worker in self.workers))
    @rule(who=WHO, pick=PICK)
    def hand_back(self, who: int, pick: int) -> None:
        worker = self.one_of_those(who, lambda worker: worker.held)
        claimed = worker.held.pop(pick % len(worker.held))
        worker.leases.give_back([claimed.key], visibility_s=0)

    def take(self, worker: Worker, count: int) -> None:
        try:
            received = hold(self.faulty_queue.receive(max_messages=count, wait_s=0), worker.leases)
        except RetryableError:
            return
        for one in received:
            try:
                claimed = claim(one, table=self.table, clock=self.clock, file_ttl_s=FILE_TTL_S)
            except RetryableError as error:
                worker.publisher.retry_later(one, error)
                continue
            if claimed is None:
                worker.leases.acknowledge([one.delivery.receipt_handle])
                continue
            attempt = (claimed.item.item_id, claimed.item.attempt)
            assert attempt not in self.attempts, "two workers hold the same attempt"
            self.attempts.add(attempt)
            assert self.real_store.get(claimed.item.upload_key) is not None, "a queued item's upload has gone"
            worker.held.append(claimed)

    def one_of_those(self, who: int, that: Callable[[Worker], object]) -> Worker:
        able = [worker for worker in self.workers if that(worker)]
        return able[who % len(able)]

    def finish(self, worker: Worker, claimed: Claimed, *, fails: bool) -> None:
        text = f"attempt {claimed.item.attempt}"
        end = (
            Failed(claimed=claimed, error=UNREADABLE)
            if fails
            else Assembled(
                claimed=claimed,
                audio_s=1.0,
                device_s=0.5,
                micro_batch=1,
                render=Transcript(text=text, language="English").to_json,
            )
        )
        if not fails and self.is_done_with(claimed.item.batch_id):
            self.too_late.add(claimed.item.attempt_key())
        ended = worker.publisher.write(end)
        if ended is not None:
            worker.ended.append(ended)

    # -- time, and who works by it ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20, VISIBILITY_TIMEOUT_S + 1, FILE_TTL_S, 200]))
    def time_passes(self, seconds: float) -> None:
        if seconds >= LATEST_S:
            self.all_that_is_late_happens()
        self.clock.advance(seconds)

    @precondition(lambda self: self.late)
    @rule(pick=PICK)
    def a_late_call_takes_effect(self, pick: int) -> None:
        with suppress(AsrQueueError):
            self.late.pop(pick % len(self.late))()

    def all_that_is_late_happens(self) -> None:
        while self.late:
            self.a_late_call_takes_effect(0)

    @rule(faults=FAULTS)
    def sweep(self, faults: list[Fault]) -> None:
        self.faults = faults
        for lane in self.lanes.values():
            lane.sent.clear()
            lane.told = None
        before = {item.item_id: item for item in self.items()}
        unsent = {batch_id for batch_id in self.batch_ids() if self.is_unsent(batch_id)}
        overtaken = self.overtaken()
        with suppress(RetryableError):
            self.parts.sweep(
                store=self.store, table=self.table, queues=self.queues, clock=self.clock, file_ttl_s=FILE_TTL_S
            )
        for priority, lane in self.lanes.items():
            for message in lane.sent:
                assert not before[message.item_id].status.is_final, "a message for an item that has ended"
                may_be_lost = lane.told == EMPTY or message.batch_id in unsent | overtaken
                assert may_be_lost, "sent again, and the first may still wait"
                assert self.batch(message.batch_id).priority is priority, "sent again in another lane"

    @precondition(lambda self: self.dead_letters())
    @rule(faults=FAULTS)
    def dead_letter(self, faults: list[Fault]) -> None:
        self.faults = faults
        letters = self.dead_letters()
        try:
            message = ItemMessage.parse(letters[0])
            fail_dead_letter(message, table=self.table, clock=self.clock, file_ttl_s=FILE_TTL_S)
        except RetryableError:
            return
        letters.pop(0)

    @rule(is_now=st.sampled_from([False] * 9 + [True]))
    def messages_are_lost(self, is_now: bool) -> None:
        """What AWS never does, and an emulator that is killed may."""
        if is_now:
            self.lost |= self.named()
            for lane in self.lanes.values():
                lane.drop_all()

    @initialize(seed=st.integers(0, 2**32), picks=st.lists(PICK, min_size=1, max_size=4))
    def begin(self, seed: int, picks: list[int]) -> None:
        """Draw what AWS leaves open, and have something to work on."""
        self.chance.seed(seed)
        self.upload([])
        self.upload([])
        self.submit(picks, [], 1)

    # -- what holds at every moment --------------------------------------------------------------------------------

    @invariant()
    def answers_agree_with_themselves(self) -> None:
        for batch_id in self.batches:
            answer = self.parts.status(batch_id, tenant=TENANT, table=self.real_table)
            states = [item.status for item in answer.items]
            assert answer.completed == states.count(ItemStatus.DONE), "done items are counted wrong"
            assert answer.failed == states.count(ItemStatus.ERROR), "failed items are counted wrong"
            assert answer.total == len(states)
            assert all((item.url is not None) == (item.status is ItemStatus.DONE) for item in answer.items)
            assert all((item.error is not None) == (item.status is ItemStatus.ERROR) for item in answer.items)

    @invariant()
    def a_batch_that_was_noted_as_finished_is(self) -> None:
        for batch_id in self.batch_ids():
            found = self.real_table.load_batch(batch_id)
            if found is not None and found[0].finished_at is not None:
                self.is_noted_right(*found)

    def is_noted_right(self, batch: Batch, items: Sequence[Item]) -> None:
        assert batch.finished_at == finished_at(items), "a batch was noted as finished, and is not, or at another time"
        progress = Progress.of(items)
        assert (batch.completed, batch.failed) == (progress.completed, progress.failed), "its items are counted wrong"

    @invariant()
    def a_final_item_never_changes(self) -> None:
        for item in self.items():
            if item.item_id in self.final or item.status.is_final:
                assert self.final.setdefault(item.item_id, item) == item, "a final item changed"

    @invariant()
    def an_item_that_has_not_ended_has_a_message(self) -> None:
        """Unless it was lost by others: then, and only then, the sweep has to find that out."""
        named = self.named() | self.lost
        for item in self.items():
            assert item.status.is_final or item.item_id in named or self.is_unsent(item.batch_id), "a message too few"

    @invariant()
    def an_upload_is_pinned_by_exactly_the_items_that_need_it(self) -> None:
        items = self.items()
        for file in self.real_table.get_files([item.upload_id for item in items]).values():
            needed_by = {item.item_id for item in items if item.upload_id == file.file_id and not item.status.is_final}
            assert file.pinned_by == needed_by, "a pin too many, or one too few"

    @invariant()
    def a_done_item_has_its_transcript_until_it_expires(self) -> None:
        for item in self.items():
            if item.status is not ItemStatus.DONE:
                continue
            try:
                fetched = fetch_file(
                    item.result_name,
                    tenant=TENANT,
                    store=self.real_store,
                    presigner=MemoryPresigner(self.real_store, self.clock),
                    table=self.real_table,
                    clock=self.clock,
                    inline_max_bytes=None,
                )
            except RetryableError as error:
                raise AssertionError("the transcript of a done item has gone") from error
            except CallerError as error:
                assert error.code == "file_expired"
                assert item.finished_at is not None
                assert (self.clock.now() - item.finished_at).total_seconds() >= FILE_TTL_S
            else:
                assert fetched.data is not None
                assert f"attempt {item.attempt}".encode() in fetched.data, "the transcript is another attempt's"

    def batch_ids(self) -> list[str]:
        # Those whose answer was lost, too: the system accepted them, whatever the client knows.
        return self.real_table.batch_ids()

    def batch(self, batch_id: str) -> Batch:
        found = self.real_table.load_batch(batch_id)
        assert found is not None
        return found[0]

    def named(self) -> set[str]:
        return {item_id for lane in self.lanes.values() for item_id in lane.named()}

    def dead_letters(self) -> list[str]:
        """Return those of a lane that has any."""
        return next((lane.dead_letters for lane in self.lanes.values() if lane.dead_letters), [])

    def items(self) -> list[Item]:
        found = [self.real_table.load_batch(batch_id) for batch_id in self.batch_ids()]
        return [item for one in found if one is not None for item in one[1]]

    def is_done_with(self, batch_id: str) -> bool:
        """Whether nobody looks for results of a batch any more, or will not when a late call takes effect."""
        found = self.real_table.load_batch(batch_id)
        ended_at = None if found is None else finished_at(found[1])
        return ended_at is not None and self.clock.now() + timedelta(seconds=LATEST_S - FILE_TTL_S) >= ended_at

    def is_unsent(self, batch_id: str) -> bool:
        found = self.real_table.load_batch(batch_id)
        return found is not None and found[0].sent_at is None

    def overtaken(self) -> set[str]:
        """Return the batches two minutes after whose messages others of their lane were sent and received first."""
        batches = [found for found in map(self.real_table.load_batch, self.batch_ids()) if found is not None]
        sent = [(batch.sent_at, batch, items) for batch, items in batches if batch.sent_at is not None]
        begun = [(batch.priority, sent_at) for sent_at, batch, items in sent if any(item.attempt for item in items)]
        margin = timedelta(seconds=FIRST_CHECK_S)
        return {
            batch.batch_id
            for sent_at, batch, _ in sent
            if any(priority is batch.priority and sent_at + margin < other for priority, other in begun)
        }

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let everything work as it should: all ends, and after the time to live nothing is left."""
        try:
            self.all_ends()
        finally:
            self.patch.undo()

    def all_ends(self) -> None:
        self.faults = []
        self.all_that_is_late_happens()
        for _ in range(400):
            if all(item.status.is_final for item in self.items()):
                break
            for who in range(len(self.workers)):
                self.work_to_the_end(who, 10, [])
            self.sweep([])
            while self.dead_letters():
                self.dead_letter([])
            self.a_visibility_timeout_passes()
        assert all(item.status.is_final for item in self.items()), "an item never ended"
        self.a_final_item_never_changes()
        for manifest in self.dropped:  # what the bucket never told of, only its own lifecycle rule removes
            objects = self.real_store.list_keys(manifest.removesuffix("all.manifest.json"))
            for key in (key for key in objects if key not in self.told and Drop.of(key)):
                register_drop(key, self.real_store.head(key), tenant=TENANT, table=self.table, life_s=FILE_TTL_S)
        self.late.clear()
        for _ in range(9):
            self.clock.advance(NOTE_LIFE_S / 4)
            self.sweep([])
        assert set(self.real_store.list_keys("")) <= self.too_late, "an object outlived its time"
        for found in map(self.real_table.load_batch, self.batch_ids()):
            assert found is not None
            assert found[0].finished_at is not None, "the end of a batch was never noted"

    def a_visibility_timeout_passes(self) -> None:
        for _ in range(0, VISIBILITY_TIMEOUT_S + HEARTBEAT_S, HEARTBEAT_S):
            self.clock.advance(HEARTBEAT_S)
            for worker in self.workers:
                worker.leases.renew()
