"""Finished batches and whoever is told of them, as the notification function, the API and the sweep serve them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from asr_queue.adapters.faulty import Fault, Faulty
from asr_queue.adapters.memory_notices import MemoryEventBus, MemoryWebhookCaller
from asr_queue.domain.notices import BACKOFF_S, CLAIM_S
from asr_queue.errors import RetryableError
from asr_queue.ports import NOTICE_LATE_S
from asr_queue.usecases.cancel_items import cancel_items
from asr_queue.usecases.purge_tenant import purge_tenant
from asr_queue.wire.messages import NoticeMessage
from handlers import notify, sweep
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import FILE_TTL_S, System
from tests.api.test_functions import EVENTS, Context, event

URL = "https://hooks.example/asr-queue?which=1"


@dataclass(frozen=True, slots=True)
class Told:
    """A system, and whoever is told."""

    system: System
    events: MemoryEventBus
    caller: MemoryWebhookCaller

    def submit(self, *, callback_url: str | None = URL, items: int = 1) -> str:
        """Submit a batch; return its id."""
        named = [{"operation": "transcribe", "ref_audio": self.system.upload()} for _ in range(items)]
        body = {"label": "Monday", "items": named, "callback_url": callback_url}
        answer = self.system.api.post("/api/v1/queue/submit", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["batch_id"])

    def finish(self, batch_id: str) -> str:
        """End a batch, as its tenant may."""
        answer = self.system.api.post(f"/api/v1/queue/batches/{batch_id}/cancel")
        assert answer.status_code == 200, answer.text
        return batch_id

    def notify(self, *batch_ids: str) -> list[str]:
        """Serve messages that name these batches; return those that are to come again."""
        if not batch_ids:
            return []
        return serve({batch_id: NoticeMessage(batch_id=batch_id).model_dump_json() for batch_id in batch_ids})

    def serve_queue(self) -> None:
        """Serve the messages that have come by now."""
        assert self.notify(*self.system.notice_queue.receive()) == []

    def delivery(self, batch_id: str) -> Mapping[str, Any]:
        answer = self.system.api.get(f"/api/v1/queue/batches/{batch_id}/delivery")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def serve(bodies: Mapping[str, str]) -> list[str]:
    [first, *_] = event("notify.json")["Records"]
    records = [first | {"messageId": name, "body": body} for name, body in bodies.items()]
    failed = notify.handler({"Records": records}, Context())["batchItemFailures"]
    return [failure["itemIdentifier"] for failure in failed]


@pytest.fixture
def told(system: System, monkeypatch: pytest.MonkeyPatch) -> Told:
    events, caller = MemoryEventBus(), MemoryWebhookCaller()
    monkeypatch.setattr(notify, "services", lambda: system.wired)
    monkeypatch.setattr(notify, "outside", lambda: notify.Outside(events=events, caller=caller))
    monkeypatch.setattr(sweep, "services", lambda: system.wired)
    monkeypatch.setattr(sweep.time, "sleep", lambda _: None)
    return Told(system, events, caller)


def swept(told: Told) -> None:
    sweep.handler(event("sweep.json"), Context())


class TestTelling:
    def test_a_finished_batch_is_told_to_the_bus_and_to_its_callback(self, told: Told) -> None:
        batch_id = told.submit(items=2)
        told.serve_queue()
        assert (told.events.told, told.caller.sent) == ([], []), "it is not finished"
        told.finish(batch_id)
        told.serve_queue()
        [event] = told.events.told
        [sent] = told.caller.sent
        data = {
            "batch_id": batch_id,
            "label": "Monday",
            "status": "error",
            "completed": 0,
            "failed": 2,
            "total": 2,
            "status_url": f"/api/v1/queue/status/{batch_id}",
        }
        assert sent.url == URL
        assert json.loads(sent.body) == {
            "type": "batch.finished",
            "timestamp": told.system.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": data,
        }
        assert data.items() <= json.loads(event.model_dump_json()).items()
        assert event.tenant == "acme"
        assert told.delivery(batch_id)["state"] == "delivered"
        assert told.system.api.get(data["status_url"]).json()["status"] == "error"

    def test_a_batch_without_a_callback_is_told_to_the_bus_alone(self, told: Told) -> None:
        batch_id = told.finish(told.submit(callback_url=None))
        told.serve_queue()
        assert [event.batch_id for event in told.events.told] == [batch_id]
        assert told.caller.sent == []
        answer = told.system.api.get(f"/api/v1/queue/batches/{batch_id}/delivery")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_callback")

    def test_a_second_message_changes_nothing(self, told: Told) -> None:
        batch_id = told.finish(told.submit())
        assert told.notify(batch_id, batch_id, batch_id) == []
        assert (len(told.events.told), len(told.caller.sent)) == (1, 1)

    def test_what_is_refused_is_sent_again_as_it_was_and_later_each_time(self, told: Told) -> None:
        told.caller.answers = [(500, None), (None, "no answer")]
        batch_id = told.finish(told.submit())
        waits = []
        for number in range(3):
            began = told.system.clock.now()
            while len(told.caller.sent) <= number:
                told.serve_queue()
                told.system.clock.advance(1)
            waits.append((told.system.clock.now() - began).total_seconds())
        for wait_s, bound_s in zip(waits[1:], BACKOFF_S[:2], strict=True):
            assert bound_s <= wait_s <= bound_s * 1.2 + 2
        assert len({sent.headers["webhook-id"] for sent in told.caller.sent}) == 1
        assert len({sent.body for sent in told.caller.sent}) == 1
        assert len({sent.headers["webhook-timestamp"] for sent in told.caller.sent}) == 3
        delivery = told.delivery(batch_id)
        assert [(one["status"], one["error"]) for one in delivery["attempts"]] == [
            (500, None),
            (None, "no answer"),
            (204, None),
        ]
        assert (delivery["state"], delivery["next_attempt_at"]) == ("delivered", None)
        assert len(told.events.told) == 1

    def test_what_no_message_can_wait_for_the_sweep_sends(self, told: Told) -> None:
        told.caller.answers = [(500, None)] * 3
        batch_id = told.finish(told.submit())
        for _ in range(3):
            told.serve_queue()
            told.system.clock.advance(BACKOFF_S[1] * 1.2 + 1)
        assert len(told.caller.sent) == 3
        told.system.clock.advance(BACKOFF_S[2] * 1.2 + NOTICE_LATE_S)
        told.serve_queue()
        assert len(told.caller.sent) == 3, "half an hour is longer than SQS keeps anything back"
        swept(told)
        told.serve_queue()
        assert len(told.caller.sent) == 4
        assert told.delivery(batch_id)["state"] == "delivered"

    def test_a_message_that_is_lost_is_made_good_by_the_sweep(self, told: Told) -> None:
        told.finish(told.submit())
        told.system.notice_queue.receive()
        swept(told)
        assert told.system.notice_queue.receive() == [], "the first one may still wait"
        told.system.clock.advance(NOTICE_LATE_S)
        swept(told)
        assert len(told.system.notice_queue.receive()) == 1, "once, though the sweep ran twice"
        told.system.clock.advance(60)
        swept(told)
        told.serve_queue()
        assert len(told.caller.sent) == 1

    def test_a_receiver_that_is_gone_or_never_takes_it_is_given_up_and_counted(
        self, told: Told, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told.caller.answers = [(410, None)]
        told.finish(told.submit())
        told.serve_queue()
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["DeliveriesGivenUp"] for line in lines if "DeliveriesGivenUp" in line] == [[1.0]]
        told.system.clock.advance(1_000_000)
        swept(told)
        told.serve_queue()
        assert len(told.caller.sent) == 1

    def test_a_function_that_dies_with_the_answer_leaves_it_to_the_next(self, told: Told) -> None:
        batch_id = told.finish(told.submit())
        real = told.system.wired
        dies = Faulty(real.notices, lambda name: Fault.BEFORE if name == "save_notice" else Fault.NONE)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(notify, "services", lambda: replace(real, notices=dies))
            assert told.notify(batch_id) == [batch_id], "the message comes again"
        assert told.notify(batch_id) == [], "but not while the dead one might live"
        assert len(told.caller.sent) == 1
        told.system.clock.advance(CLAIM_S)
        told.notify(batch_id)
        assert len(told.caller.sent) == 2, "at least once"
        assert told.caller.sent[0].headers["webhook-id"] == told.caller.sent[1].headers["webhook-id"]

    def test_a_bus_that_is_away_keeps_nothing_from_the_callback_and_is_told_later(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_: object) -> None:
            raise RetryableError("events_unavailable", "events answered 503")

        batch_id = told.finish(told.submit())
        with monkeypatch.context() as patched:
            patched.setattr(told.events, "publish", away)
            assert told.notify(batch_id) == [batch_id]
        assert told.delivery(batch_id)["state"] == "delivered"
        assert told.delivery(batch_id)["next_attempt_at"] is None, "of the callback's own"
        told.system.clock.advance(60)
        told.serve_queue()
        assert (len(told.events.told), len(told.caller.sent)) == (1, 1)

    def test_what_names_no_batch_is_logged_and_goes(self, told: Told, caplog: pytest.LogCaptureFixture) -> None:
        assert serve({"1": "not a message of ours", "2": '{"batch_id": "unknown"}'}) == []
        assert "poison_message" in caplog.messages

    def test_the_message_of_each_released_version_is_read(self) -> None:
        for sample in EVENTS.glob("notice_message_v*.json"):
            assert NoticeMessage.parse(sample.read_text()).batch_id

    def test_nothing_of_a_url_is_logged(self, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
        told.caller.answers = [(500, None)]
        told.finish(told.submit(callback_url="https://hooks.example/s3cr3t"))
        told.serve_queue()
        assert "s3cr3t" not in capsys.readouterr().out


class TestForgetting:
    def test_a_deleted_batch_is_told_to_nobody(self, told: Told) -> None:
        batch_id = told.finish(told.submit())
        assert told.system.api.delete(f"/api/v1/queue/batches/{batch_id}").status_code == 204
        told.serve_queue()
        assert (told.events.told, told.caller.sent) == ([], [])
        answer = told.system.api.get(f"/api/v1/queue/batches/{batch_id}/delivery")
        assert (answer.status_code, answer.json()["code"]) == (410, "batch_deleted")

    def test_and_neither_is_one_of_a_tenant_who_is_gone(self, told: Told) -> None:
        told.finish(told.submit())
        told.system.api.get("/api/v1/webhooks/secret")
        system = told.system
        purge_tenant("acme", store=system.store, table=system.table, clock=system.clock)
        told.serve_queue()
        assert (told.events.told, told.caller.sent) == ([], [])
        assert system.table.notices.get_secrets("acme") is None


class TestCallbackUrl:
    @pytest.mark.parametrize(
        "url", ["http://hooks.example/", "https://127.0.0.1/", "https://169.254.169.254/", "https://localhost/", ""]
    )
    def test_one_that_leads_inside_is_refused_with_its_batch(self, told: Told, url: str) -> None:
        items = [{"operation": "transcribe", "ref_audio": told.system.upload()}]
        answer = told.system.api.post("/api/v1/queue/submit", json={"items": items, "callback_url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "callback_not_allowed")
        assert told.system.queue.backlog().visible == 0

    def test_but_not_where_a_setting_names_its_host(self, told: Told) -> None:
        wired = told.system.wired
        settings = wired.settings.model_copy(update={"callback_hosts": "10.0.0.1:8080, Hooks.internal"})
        app.dependency_overrides[services] = lambda: replace(wired, settings=settings)
        told.submit(callback_url="http://10.0.0.1:8080/")
        told.submit(callback_url="http://hooks.internal:5000/")


class TestDelivery:
    def test_until_its_batch_is_finished_nothing_was_tried(self, told: Told) -> None:
        batch_id = told.submit()
        assert told.delivery(batch_id) == {
            "webhook_id": f"msg_{batch_id}",
            "callback_url": URL,
            "state": "pending",
            "attempts": [],
            "next_attempt_at": None,
        }
        answer = told.system.api.post(f"/api/v1/queue/batches/{batch_id}/delivery/replay")
        assert (answer.status_code, answer.json()["code"]) == (409, "batch_not_finished")

    def test_a_replay_delivers_again_under_the_same_id(self, told: Told) -> None:
        batch_id = told.finish(told.submit())
        told.serve_queue()
        answer = told.system.api.post(f"/api/v1/queue/batches/{batch_id}/delivery/replay")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["state"], len(answer.json()["attempts"])) == ("pending", 1)
        told.serve_queue()
        assert [sent.headers["webhook-id"] for sent in told.caller.sent] == [f"msg_{batch_id}"] * 2
        assert len(told.delivery(batch_id)["attempts"]) == 2
        assert len(told.events.told) == 1, "the bus is told once"

    def test_a_stranger_sees_and_replays_nothing(self, told: Told) -> None:
        batch_id = told.finish(told.submit())
        for method, path in (("GET", "delivery"), ("POST", "delivery/replay")):
            answer = told.system.stranger.request(method, f"/api/v1/queue/batches/{batch_id}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")

    @pytest.mark.parametrize("key_scope", ["upload"], indirect=True)
    def test_a_key_is_needed_where_others_do_without(self, told: Told) -> None:
        batch_id = told.submit()
        for method, path in (
            ("GET", f"queue/batches/{batch_id}/delivery"),
            ("POST", f"queue/batches/{batch_id}/delivery/replay"),
            ("GET", "webhooks/secret"),
            ("POST", "webhooks/secret/rotate"),
        ):
            assert told.system.anonymous.request(method, f"/api/v1/{path}").status_code == 401


class TestSecret:
    def test_it_signs_what_its_tenant_is_told_and_is_nobody_elses(self, told: Told) -> None:
        secret = told.system.api.get("/api/v1/webhooks/secret")
        assert secret.headers["Cache-Control"] == "private, no-store"
        assert told.system.api.get("/api/v1/webhooks/secret").json() == secret.json()
        assert told.system.stranger.get("/api/v1/webhooks/secret").json() != secret.json()
        told.finish(told.submit())
        told.serve_queue()
        [sent] = told.caller.sent
        assert verified(secret.json()["secret"], sent.body, sent.headers)

    def test_it_is_made_by_the_first_delivery_that_needs_it(self, told: Told) -> None:
        told.finish(told.submit())
        told.serve_queue()
        [sent] = told.caller.sent
        assert verified(told.system.api.get("/api/v1/webhooks/secret").json()["secret"], sent.body, sent.headers)

    def test_after_a_rotation_the_old_one_signs_too(self, told: Told) -> None:
        old = told.system.api.get("/api/v1/webhooks/secret").json()["secret"]
        new = told.system.api.post("/api/v1/webhooks/secret/rotate").json()["secret"]
        assert new != old
        told.finish(told.submit())
        told.serve_queue()
        [sent] = told.caller.sent
        assert all(verified(secret, sent.body, sent.headers) for secret in (old, new))
        assert told.system.api.get("/api/v1/webhooks/secret").json()["secret"] == new


def verified(secret: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a delivery has the signature that the scheme's own library makes for it, at the time of the test."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(headers["webhook-id"], at, body.decode()) in headers["webhook-signature"].split()


def test_a_cancelled_batch_is_told_at_once(told: Told) -> None:
    system = told.system
    batch_id = told.submit()
    cancel_items(
        batch_id,
        tenant="acme",
        table=system.table,
        clock=system.clock,
        file_ttl_s=FILE_TTL_S,
        notices=system.notice_queue,
    )
    assert system.notice_queue.receive() == [batch_id]
