"""The item protocol under everything that AWS, workers and time may do, in any order.

The machine uploads, submits, receives, crashes, repeats, expires and finishes; calls fail before or after they take
effect, messages come twice and out of order, stale receipt handles delete or do not. Whatever happens, every
accepted item ends final exactly once, with at most one visible transcript.
"""

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.domain.drops import Drop
from asr_queue.domain.items import Item, ItemError, ItemStatus, Operation
from asr_queue.errors import CallerError, RetryableError
from asr_queue.ports import Delivery
from asr_queue.usecases.accept_drop import NOTE_LIFE_S, accept_drop
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.fail_dead_letter import fail_dead_letter
from asr_queue.usecases.fetch_file import fetch_file
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_transcript
from asr_queue.usecases.register_drops import register_drop
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.usecases.sweep_expired import sweep_expired
from asr_queue.wire.api import SubmitItem, SubmitRequest
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.notes import Receipt
from asr_queue.wire.transcript import Transcript

TENANT = "acme"
FILE_TTL_S = 60
VISIBILITY_TIMEOUT_S = 30
PICK = st.integers(0, 9)
FAULTS = st.lists(st.sampled_from([Fault.NONE, Fault.NONE, Fault.BEFORE, Fault.AFTER]), max_size=4)
LATE_FAULTS = st.builds(lambda calls, faults: [Fault.NONE] * calls + faults, st.integers(0, 14), FAULTS)
"""A drop takes more calls than the other steps."""
UNREADABLE = ItemError("audio_undecodable", "This is no audio.")


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker has of an item between two steps."""

    delivery: Delivery
    item: Item


class Protocol(RuleBasedStateMachine):
    """Clients, workers, the sweep and the dead-letter function, each a step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.chance = random.Random()
        self.queue = MemoryQueue(
            self.clock, visibility_timeout_s=VISIBILITY_TIMEOUT_S, max_receives=4, chance=self.chance
        )
        self.real_store, self.real_table = MemoryStore(self.clock), MemoryTable(self.clock)
        create_key(tenant=TENANT, name="test", table=self.real_table, clock=self.clock)
        self.faults: list[Fault] = []
        self.store = Faulty(self.real_store, self.next_fault)
        self.table = Faulty(self.real_table, self.next_fault)
        self.queues = {Operation.TRANSCRIBE: Faulty(self.queue, self.next_fault)}
        self.uploads: list[str] = []
        self.held: list[Held] = []
        self.saved: list[tuple[Delivery, Outcome]] = []
        self.batches: set[str] = set()
        self.dropped: list[str] = []
        """Manifests."""
        self.told: set[str] = set()
        """Keys that were served to the end."""
        self.batch_of: dict[str, str] = {}
        """By manifest."""
        self.final: dict[str, Item] = {}
        self.attempts: set[tuple[str, int]] = set()

    def next_fault(self, name: str) -> Fault:
        return self.faults.pop(0) if self.faults else Fault.NONE

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
    @rule(picks=st.lists(PICK, min_size=1, max_size=4), faults=FAULTS, tries=st.integers(1, 3))
    def submit(self, picks: list[int], faults: list[Fault], tries: int) -> None:
        """A client with an Idempotency-Key, which may give up."""
        self.faults = faults
        file_ids = [self.uploads[-1 - pick % len(self.uploads)] for pick in picks]
        key = str(uuid4())
        items = [SubmitItem(operation="transcribe", ref_audio=file_id) for file_id in file_ids]
        answers = set()
        for _ in range(tries):
            try:
                submitted = submit_batch(
                    SubmitRequest(items=items),
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

    @rule(count=st.integers(1, 10), faults=FAULTS)
    def receive_and_claim(self, count: int, faults: list[Fault]) -> None:
        deliveries = self.queue.receive(max_messages=count, wait_s=0)
        self.faults = faults
        for delivery in deliveries:
            try:
                item = claim_item(ItemMessage.parse(delivery.body), table=self.table, clock=self.clock)
            except RetryableError:
                continue
            if item is None:
                self.queue.delete([delivery.receipt_handle])
                continue
            attempt = (item.item_id, item.attempt)
            assert attempt not in self.attempts, "two workers hold the same attempt"
            self.attempts.add(attempt)
            assert self.real_store.get(item.upload_key) is not None, "a queued item's upload has gone"
            self.held.append(Held(delivery, item))

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def crash(self, pick: int) -> None:
        """The worker dies, or is so slow that its lease runs out; its message comes again by itself."""
        self.held.pop(pick % len(self.held))

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def hand_back(self, pick: int) -> None:
        held = self.held.pop(pick % len(self.held))
        self.queue.extend([held.delivery.receipt_handle], visibility_s=0)

    @precondition(lambda self: self.held)
    @rule(pick=PICK, fails=st.booleans(), faults=FAULTS)
    def write_result(self, pick: int, fails: bool, faults: list[Fault]) -> None:
        held = self.held.pop(pick % len(self.held))
        if fails:
            self.saved.append((held.delivery, Outcome(item=held.item, audio_s=1.0, error=UNREADABLE)))
            return
        self.faults = faults
        try:
            written = write_transcript(
                held.item, Transcript(text=f"attempt {held.item.attempt}", language="English"), store=self.store
            )
        except RetryableError:
            return
        self.saved.append((held.delivery, Outcome(item=held.item, audio_s=1.0, transcript_bytes=written)))

    @precondition(lambda self: self.saved)
    @rule(pick=PICK, count=st.integers(1, 5), faults=FAULTS, tries=st.integers(1, 3))
    def record_and_acknowledge(self, pick: int, count: int, faults: list[Fault], tries: int) -> None:
        self.faults = faults
        start = pick % len(self.saved)
        some, self.saved[start : start + count] = self.saved[start : start + count], []
        for _ in range(tries):
            try:
                record_outcomes(
                    [outcome for _, outcome in some],
                    store=self.store,
                    table=self.table,
                    clock=self.clock,
                    file_ttl_s=FILE_TTL_S,
                )
            except RetryableError:
                continue
            self.queue.delete([delivery.receipt_handle for delivery, _ in some])
            return

    # -- time, and who works by it ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20, VISIBILITY_TIMEOUT_S, FILE_TTL_S, 200]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(faults=FAULTS)
    def sweep(self, faults: list[Fault]) -> None:
        self.faults = faults
        try:
            sweep_expired(
                store=self.store, table=self.table, queues=self.queues, clock=self.clock, file_ttl_s=FILE_TTL_S
            )
        except RetryableError:
            return

    @precondition(lambda self: self.queue.dead_letters)
    @rule(faults=FAULTS)
    def dead_letter(self, faults: list[Fault]) -> None:
        self.faults = faults
        try:
            fail_dead_letter(ItemMessage.parse(self.queue.dead_letters[0]), table=self.table, clock=self.clock)
        except RetryableError:
            return
        self.queue.dead_letters.pop(0)

    @rule(is_now=st.sampled_from([False] * 9 + [True]))
    def messages_are_lost(self, is_now: bool) -> None:
        """What AWS never does, and an emulator that is killed may."""
        if is_now:
            self.queue.drop_all()

    @initialize(seed=st.integers(0, 2**32))
    def draw_what_sqs_leaves_open(self, seed: int) -> None:
        self.chance.seed(seed)

    # -- what holds at every moment --------------------------------------------------------------------------------

    @invariant()
    def answers_agree_with_themselves(self) -> None:
        for batch_id in self.batches:
            answer = batch_status(batch_id, tenant=TENANT, table=self.real_table)
            states = [item.status for item in answer.items]
            assert answer.completed == states.count(ItemStatus.DONE)
            assert answer.failed == states.count(ItemStatus.ERROR)
            assert answer.total == len(states)
            assert all((item.url is not None) == (item.status is ItemStatus.DONE) for item in answer.items)
            assert all((item.error is not None) == (item.status is ItemStatus.ERROR) for item in answer.items)

    @invariant()
    def a_final_item_never_changes(self) -> None:
        for item in self.items():
            if item.status.is_final:
                assert self.final.setdefault(item.item_id, item) == item

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
            except CallerError as error:
                assert error.code == "file_expired"
                assert item.finished_at is not None
                assert (self.clock.now() - item.finished_at).total_seconds() >= FILE_TTL_S
            else:
                assert fetched.data is not None
                assert f"attempt {item.attempt}".encode() in fetched.data

    def items(self) -> list[Item]:
        # Those whose answer was lost, too: the system accepted them, whatever the client knows.
        unretired = self.real_table.due_batches(now=self.clock.now() + timedelta(days=1), limit=10_000)
        batch_ids = self.batches | {batch.batch_id for batch in unretired}
        found = [self.real_table.load_batch(batch_id) for batch_id in sorted(batch_ids)]
        return [item for one in found if one is not None for item in one[1]]

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let everything work as it should: all ends, and after the time to live nothing is left."""
        self.faults = []
        for _ in range(400):
            if all(item.status.is_final for item in self.items()):
                break
            self.clock.advance(VISIBILITY_TIMEOUT_S)
            self.sweep([])
            while self.queue.dead_letters:
                self.dead_letter([])
            for delivery in self.queue.receive(max_messages=10, wait_s=0):
                item = claim_item(ItemMessage.parse(delivery.body), table=self.table, clock=self.clock)
                if item is not None:
                    outcome = Outcome(item=item, error=UNREADABLE)
                    record_outcomes(
                        [outcome], store=self.store, table=self.table, clock=self.clock, file_ttl_s=FILE_TTL_S
                    )
                self.queue.delete([delivery.receipt_handle])
        assert all(item.status.is_final for item in self.items())
        self.a_final_item_never_changes()
        for manifest in self.dropped:  # what the bucket never told of, only its own lifecycle rule removes
            objects = self.real_store.list_keys(manifest.removesuffix("all.manifest.json"))
            for key in (key for key in objects if key not in self.told and Drop.of(key)):
                register_drop(key, self.real_store.head(key), tenant=TENANT, table=self.table, life_s=FILE_TTL_S)
        for _ in range(5):
            self.clock.advance(NOTE_LIFE_S / 4)
            self.sweep([])
        assert self.real_store.list_keys("") == []
        assert self.real_table.due_batches(now=self.clock.now(), limit=10) == []


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=200, stateful_step_count=60, deadline=None, report_multiple_bugs=False)
