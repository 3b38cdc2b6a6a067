"""How far a batch has come, when it will be finished, what it cost; the queue's own numbers; waiting for a change."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asr_queue.domain.items import ItemError, Operation
from asr_queue.domain.workers import WorkerReport
from asr_queue.errors import RetryableError
from asr_queue.ports import Delivery
from asr_queue.usecases.claim_item import claim_item
from asr_queue.usecases.queue_pulse import Pulse, surroundings
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript
from handlers import changes
from handlers.pulses import Pulses
from tests.api.conftest import FILE_TTL_S, System


def begin(system: System) -> Delivery:
    """Do what a worker does first."""
    [delivery] = system.queue.receive(max_messages=1, wait_s=0)
    assert claim_item(ItemMessage.parse(delivery.body), table=system.table, clock=system.clock) is not None
    return delivery


def end(system: System, delivery: Delivery, *, error: ItemError | None = None, **outcome: Any) -> None:
    """Do what it does last."""
    message = ItemMessage.parse(delivery.body)
    found = system.table.load_batch(message.batch_id)
    assert found is not None
    item = found[1][message.index]
    written = None
    if error is None:
        written = write_result(item, Transcript(text="Hello.", language="English").to_json(), store=system.store)
    ended = Outcome(item=item, error=error, result_bytes=written, **outcome)
    record_outcomes([ended], store=system.store, table=system.table, clock=system.clock, file_ttl_s=FILE_TTL_S)
    system.queue.delete([delivery.receipt_handle])


def status(system: System, batch_id: object) -> dict[str, Any]:
    answer = system.api.get(f"/api/v1/queue/status/{batch_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def report(system: System, **fields: Any) -> WorkerReport:
    told = WorkerReport(
        worker_id="a-worker",
        engine="echo",
        started_at=system.clock.now() - timedelta(minutes=5),
        seen_at=system.clock.now(),
        held_items=0,
        micro_batch_max=16,
        audio_s_per_s=10.0,
        busy=1.0,
    )
    told = replace(told, **fields)
    system.wired.registry.report(told)
    return told


@pytest.fixture
def fresh(system: System) -> System:
    """The system, whose pulse is felt anew at each look."""
    take = system.wired.pulses._take
    system.wired.__dict__["pulses"] = Pulses(take, seconds=lambda: time.monotonic() * 1e6)
    return system


class TestStatus:
    def test_queued_never_hides_inside_processing(self, system: System) -> None:
        batch_id = system.submit(*[system.upload()] * 4)["batch_id"]
        for _ in range(2):
            delivery = begin(system)
        end(system, delivery, audio_s=1.0)
        answer = status(system, batch_id)
        assert (answer["queued"], answer["processing"], answer["completed"], answer["failed"]) == (2, 1, 1, 0)

    def test_an_item_says_when_it_began_and_ended_and_what_it_took(self, system: System) -> None:
        submitted_at = system.clock.now()
        batch_id = system.submit(system.upload())["batch_id"]
        system.clock.advance(10)
        delivery = begin(system)
        system.clock.advance(2.5)
        end(system, delivery, audio_s=30.0, device_s=0.25, micro_batch=7)
        answer = status(system, batch_id)
        [item] = answer["items"]
        assert (item["attempt"], item["device_s"], item["micro_batch"], item["cost_usd"]) == (1, 0.25, 7, None)
        assert answer["created_at"] == submitted_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert item["started_at"].endswith("Z")
        assert item["started_at"] < item["finished_at"] == answer["finished_at"]
        assert (answer["device_s"], answer["cost_usd"], answer["estimate"]) == (0.25, None, None)

    def test_the_end_of_a_batch_is_that_of_its_last_item(self, system: System) -> None:
        batch_id = system.submit(*[system.upload()] * 2)["batch_id"]
        end(system, begin(system), audio_s=1.0)
        assert status(system, batch_id)["finished_at"] is None
        system.clock.advance(5)
        end(system, begin(system), audio_s=1.0)
        answer = status(system, batch_id)
        assert answer["finished_at"] == max(item["finished_at"] for item in answer["items"])

    def test_with_a_price_items_and_batches_cost_what_the_device_computed(self, system: System) -> None:
        object.__setattr__(system.wired.settings, "worker_usd_per_hour", 0.9)
        batch_id = system.submit(*[system.upload()] * 3)["batch_id"]
        end(system, begin(system), audio_s=30.0, device_s=2.0)
        end(system, begin(system), device_s=1.0, error=ItemError("engine_out_of_memory", "no"))
        end(system, begin(system), error=ItemError("audio_undecodable", "no"))
        answer = status(system, batch_id)
        assert [item["cost_usd"] for item in answer["items"]] == [0.0005, 0.00025, None]
        assert answer["cost_usd"] == 0.00075

    def test_the_total_of_audio_is_estimated_from_sizes_until_all_is_decoded(self, system: System) -> None:
        short, long = system.upload(b"x" * 1000), system.upload(b"x" * 4000)
        batch_id = system.submit(short, long)["batch_id"]
        assert status(system, batch_id)["audio_s"] == {"done": 0.0, "total": 120.0, "is_estimate": True}
        end(system, begin(system), audio_s=20.0)
        assert status(system, batch_id)["audio_s"] == {"done": 20.0, "total": 100.0, "is_estimate": True}
        end(system, begin(system), audio_s=70.0)
        assert status(system, batch_id)["audio_s"] == {"done": 90.0, "total": 90.0, "is_estimate": False}


class TestEstimate:
    def test_without_a_worker_nothing_is_known(self, fresh: System) -> None:
        batch_id = fresh.submit(fresh.upload())["batch_id"]
        estimate = status(fresh, batch_id)["estimate"]
        assert estimate == {
            "basis": "none",
            "finish_at": None,
            "seconds_left": None,
            "audio_s_per_s": None,
            "ahead_items": 0,
            "ahead_audio_s": 0.0,
            "workers": 0,
        }

    def test_a_batch_that_waits_goes_by_what_the_workers_can_do_and_what_is_ahead(self, fresh: System) -> None:
        fresh.submit(*[fresh.upload()] * 5)
        batch_id = fresh.submit(*[fresh.upload()] * 2)["batch_id"]
        fresh.submit(*[fresh.upload()] * 100)
        report(fresh)
        estimate = status(fresh, batch_id)["estimate"]
        assert (estimate["basis"], estimate["workers"]) == ("workers", 1)
        assert (estimate["ahead_items"], estimate["ahead_audio_s"]) == (5, 300.0), "what came later is behind"
        assert estimate["seconds_left"] == pytest.approx((300 + 120) / 10)

    def test_the_place_moves_up_while_the_workers_work(self, fresh: System) -> None:
        fresh.submit(*[fresh.upload()] * 50)
        batch_id = fresh.submit(fresh.upload())["batch_id"]
        fresh.clock.advance(60)
        report(fresh)
        assert status(fresh, batch_id)["estimate"]["ahead_items"] == 40, "600 seconds of audio are ten items"

    def test_a_batch_under_way_goes_by_its_own_progress(self, fresh: System) -> None:
        batch_id = fresh.submit(*[fresh.upload()] * 10)["batch_id"]
        report(fresh)
        for _ in range(3):
            delivery = begin(fresh)
            fresh.clock.advance(6)
            end(fresh, delivery, audio_s=60.0, device_s=6.0)
        report(fresh)
        estimate = status(fresh, batch_id)["estimate"]
        assert (estimate["basis"], estimate["ahead_items"]) == ("batch", 0)
        assert estimate["seconds_left"] == pytest.approx(42, rel=0.01)
        assert estimate["audio_s_per_s"] == pytest.approx(10, rel=0.01)

    def test_an_older_pulse_does_not_take_what_has_ended_since_for_somebody_elses(self, system: System) -> None:
        batch_id = str(system.submit(*[system.upload()] * 40)["batch_id"])
        system.submit(*[system.upload()] * 3)
        pulse = system.wired.pulses.now()
        for _ in range(20):
            delivery = begin(system)
            system.clock.advance(0.05)
            end(system, delivery, audio_s=60.0, device_s=1.0)
        found = system.table.load_batch(batch_id)
        assert found is not None
        assert surroundings(pulse, *found, now=system.clock.now()).others_items == 3

    def test_a_batch_whose_workers_are_gone_has_no_end_in_sight(self, fresh: System) -> None:
        batch_id = fresh.submit(*[fresh.upload()] * 2)["batch_id"]
        report(fresh)
        end(fresh, begin(fresh), audio_s=60.0, device_s=6.0)
        fresh.clock.advance(3600)
        assert status(fresh, batch_id)["estimate"]["basis"] == "none"

    def test_a_queue_that_does_not_answer_costs_the_estimate_and_not_the_status(
        self, fresh: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch_id = fresh.submit(fresh.upload())["batch_id"]

        def away() -> None:
            raise RetryableError("sqs_unavailable", "away")

        monkeypatch.setattr(fresh.queue, "backlog", away)
        answer = status(fresh, batch_id)
        assert (answer["estimate"]["basis"], answer["estimate"]["ahead_items"]) == ("none", None)
        state = fresh.api.get("/api/v1/queue")
        assert (state.status_code, state.json()["code"]) == (503, "sqs_unavailable")
        assert fresh.submit(fresh.upload())["status"] == "queued"


class TestQueue:
    def test_the_queue_says_what_waits_and_who_works(self, fresh: System) -> None:
        fresh.submit(*[fresh.upload()] * 3)
        begin(fresh)
        swapped = {"resident": frozenset(Operation), "swaps": 3, "mean_swap_s": 0.125, "device_bytes": 1 << 35}
        told = report(fresh, held_items=1, micro_batch_fill=0.5, items_done=7, audio_s_done=70.0, **swapped)
        report(fresh, worker_id="new", audio_s_per_s=None, busy=0.0)
        answer = fresh.api.get("/api/v1/queue").json()
        assert answer["backlog"] == [{"priority": "normal", "visible": 2, "in_flight": 1}]
        assert answer["waiting_audio_s"] == 180.0
        assert answer["audio_s_per_s"] == 20.0, "one that has just come counts as what the others are"
        first, second = answer["workers"]
        assert first == {
            "worker_id": "a-worker",
            "engine": "echo",
            "started_at": told.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "seen_at": told.seen_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "held_items": 1,
            "micro_batch_max": 16,
            "micro_batch_fill": 0.5,
            "audio_s_per_s": 10.0,
            "busy": 1.0,
            "items_done": 7,
            "audio_s_done": 70.0,
            "resident": ["transcribe", "voice_clone"],
            "swaps": 3,
            "mean_swap_s": 0.125,
            "device_bytes": 1 << 35,
        }
        assert (second["worker_id"], second["audio_s_per_s"]) == ("new", None)

    @pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
    def test_it_needs_a_key_where_ids_are_the_right_to_the_rest(self, system: System) -> None:
        assert system.anonymous.get("/api/v1/queue").status_code == 401
        assert system.api.get("/api/v1/queue").status_code == 200


class TestPulse:
    PULSE = Pulse(taken_at=datetime(2026, 1, 1, tzinfo=UTC), backlogs={}, workers=(), item_s=60.0)

    def test_it_is_felt_every_two_seconds_however_many_ask(self) -> None:
        felt: list[float] = []
        now_s = 0.0

        def take() -> Pulse:
            felt.append(now_s)
            return self.PULSE

        pulses = Pulses(take, seconds=lambda: now_s)
        for tenths in range(61):
            now_s = tenths / 10
            assert pulses.now() is self.PULSE
        assert felt == [0.0, 2.0, 4.0, 6.0]

    def test_a_failure_is_told_and_not_tried_again_at_once(self) -> None:
        tries = 0
        now_s = 0.0

        def take() -> Pulse:
            nonlocal tries
            tries += 1
            raise RetryableError("sqs_unavailable", "away")

        pulses = Pulses(take, seconds=lambda: now_s)
        for seconds in range(10):
            now_s = float(seconds)
            assert pulses.try_now() is None
            with pytest.raises(RetryableError):
                pulses.now()
        assert tries == 1

    def test_who_asks_while_it_is_being_felt_gets_the_last_one(self) -> None:
        now_s = 0.0
        is_felt, may_end = threading.Event(), threading.Event()
        may_end.set()

        def take() -> Pulse:
            is_felt.set()
            assert may_end.wait(30)
            return replace(self.PULSE, item_s=now_s)

        pulses = Pulses(take, seconds=lambda: now_s)
        assert pulses.now().item_s == 0.0
        now_s = 5.0
        is_felt.clear()
        may_end.clear()
        taker = threading.Thread(target=pulses.now)
        taker.start()
        assert is_felt.wait(30)
        assert pulses.now().item_s == 0.0
        may_end.set()
        taker.join()
        assert pulses.now().item_s == 5.0

    def test_a_finished_batch_feels_none(self, system: System) -> None:
        batch_id = system.submit(system.upload())["batch_id"]
        end(system, begin(system), audio_s=1.0)

        def take() -> Pulse:
            raise AssertionError

        system.wired.__dict__["pulses"] = Pulses(take)
        assert status(system, batch_id)["status"] == "completed"


class TestWaiting:
    def path(self, system: System, wait: int, items: int = 2) -> str:
        return f"/api/v1/queue/status/{system.submit(*[system.upload()] * items)['batch_id']}?wait={wait}"

    def test_a_change_ends_it(self, system: System) -> None:
        path = self.path(system, wait=20)
        known = system.api.get(path.replace("wait=20", "wait=0"))
        threading.Timer(0.4, lambda: begin(system)).start()
        began_s = time.monotonic()
        answer = system.api.get(path, headers={"If-None-Match": known.headers["ETag"]})
        assert 0.3 < time.monotonic() - began_s < 10
        assert answer.json()["processing"] == 1
        assert answer.headers["ETag"] != known.headers["ETag"]

    def test_a_change_since_the_answer_that_is_named_ends_it_at_once(self, system: System) -> None:
        path = self.path(system, wait=20)
        known = system.api.get(path.replace("wait=20", "wait=0"))
        begin(system)
        began_s = time.monotonic()
        answer = system.api.get(path, headers={"If-None-Match": known.headers["ETag"]})
        assert time.monotonic() - began_s < 5
        assert answer.json()["processing"] == 1

    def test_nothing_new_is_304_when_the_time_is_over(self, system: System) -> None:
        path = self.path(system, wait=1)
        etag = system.api.get(path.replace("wait=1", "wait=0")).headers["ETag"]
        began_s = time.monotonic()
        answer = system.api.get(path, headers={"If-None-Match": f'"another", {etag}'})
        assert 1 <= time.monotonic() - began_s < 5
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)

    def test_without_a_tag_it_waits_from_now_on_and_answers_in_any_case(self, system: System) -> None:
        path = self.path(system, wait=1)
        began_s = time.monotonic()
        answer = system.api.get(path)
        assert 1 <= time.monotonic() - began_s < 5
        assert (answer.status_code, answer.json()["queued"]) == (200, 2)

    def test_a_finished_batch_is_answered_at_once(self, system: System) -> None:
        path = self.path(system, wait=20, items=1)
        end(system, begin(system), audio_s=1.0)
        began_s = time.monotonic()
        answer = system.api.get(path)
        again = system.api.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert time.monotonic() - began_s < 5
        assert (answer.status_code, again.status_code) == (200, 304)

    def test_time_alone_is_no_change(self, fresh: System) -> None:
        path = self.path(fresh, wait=0)
        report(fresh)
        before = fresh.api.get(path)
        fresh.clock.advance(5)
        fresh.submit(*[fresh.upload()] * 9)
        after = fresh.api.get(path)
        assert before.json()["estimate"] != after.json()["estimate"]
        assert before.headers["ETag"] == after.headers["ETag"]

    def test_a_batch_of_another_tenant_is_not_waited_for(self, system: System) -> None:
        path = self.path(system, wait=20)
        began_s = time.monotonic()
        assert system.stranger.get(path).status_code == 404
        assert time.monotonic() - began_s < 5

    def test_a_batch_that_is_deleted_meanwhile_is_gone(self, system: System) -> None:
        path = self.path(system, wait=20)
        batch_path = path.replace("status", "batches").partition("?")[0]
        threading.Timer(0.4, lambda: system.api.delete(batch_path)).start()
        assert system.api.get(path).status_code == 410

    def test_it_looks_less_than_once_a_second(self) -> None:
        pauses, left_s = [], float(changes.MAX_WAIT_S)
        pause_s = changes._FIRST_PAUSE_S
        while left_s > 0:
            pauses.append(min(pause_s, left_s))
            left_s -= pause_s
            pause_s = min(pause_s * changes._GROWTH, changes._LONGEST_PAUSE_S)
        assert len(pauses) < changes.MAX_WAIT_S
