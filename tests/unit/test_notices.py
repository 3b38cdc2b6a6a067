"""How a delivery goes on after each attempt, and what signs it."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from asr_queue.domain.batches import BatchStatus
from asr_queue.domain.notices import BACKOFF_S, Attempt, DeliveryState, Notice
from asr_queue.domain.signatures import OVERLAP, Secrets, signed_headers

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def notice(**fields: Any) -> Notice:
    known = {
        "batch_id": "b",
        "tenant": "acme",
        "label": "",
        "callback_url": "https://a.example/",
        "total": 2,
        "completed": 1,
        "failed": 1,
        "finished_at": NOW,
    }
    return Notice(**known | fields)


def attempt(status: int | None) -> Attempt:
    return Attempt(at=NOW, status=status, error=None if status else "no answer", duration_s=0.1)


def after(told: Notice, status: int | None) -> Notice:
    tried = told.published().attempted(attempt(status), backoff_s=BACKOFF_S)
    return tried.rescheduled(now=NOW, backoff_s=BACKOFF_S, spread=0.0)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_is_an_acceptance(status: int) -> None:
    told = after(notice(), status)
    assert (told.state, told.next_attempt_at) == (DeliveryState.DELIVERED, None)


@pytest.mark.parametrize("status", [None, 100, 301, 302, 400, 401, 404, 408, 429, 500, 503])
def test_anything_else_is_tried_again_a_redirection_too(status: int | None) -> None:
    told = after(notice(), status)
    assert told.state is DeliveryState.PENDING
    assert told.next_attempt_at == NOW + timedelta(seconds=5)


def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    told = after(notice(), 410)
    assert (told.state, told.next_attempt_at) == (DeliveryState.GIVEN_UP, None)


def test_the_waits_grow_and_have_an_end() -> None:
    told, waits = notice(), []
    while told.is_to_deliver:
        told = after(told, 500)
        if told.next_attempt_at is not None:
            waits.append((told.next_attempt_at - NOW).total_seconds())
    assert waits == list(BACKOFF_S)
    assert told.state is DeliveryState.GIVEN_UP
    assert len(told.attempts) == len(BACKOFF_S) + 1


def test_what_failed_together_is_not_tried_together() -> None:
    tried = notice().attempted(attempt(500), backoff_s=BACKOFF_S)
    latest = tried.rescheduled(now=NOW, backoff_s=BACKOFF_S, spread=1.0).next_attempt_at
    assert latest == NOW + timedelta(seconds=6)


def test_a_replay_has_all_its_attempts_again_and_the_log_has_a_bound() -> None:
    told = notice()
    for _ in range(4):
        while told.is_to_deliver:
            told = after(told, 500)
        told = told.replayed(now=NOW)
        assert (told.state, told.failures, told.next_attempt_at) == (DeliveryState.PENDING, 0, NOW)
    assert len(told.attempts) == 20


def test_an_event_that_was_not_told_is_told_later() -> None:
    silent = notice(callback_url=None)
    assert not silent.is_to_deliver
    again = silent.rescheduled(now=NOW, backoff_s=BACKOFF_S, spread=0.0)
    assert again.next_attempt_at == NOW + timedelta(seconds=60)
    assert silent.published().rescheduled(now=NOW, backoff_s=BACKOFF_S, spread=0.0).next_attempt_at is None


def test_the_status_is_the_batchs() -> None:
    assert notice().status is BatchStatus.PARTIAL
    assert notice(completed=2, failed=0).status is BatchStatus.COMPLETED
    assert notice(completed=0, failed=2).status is BatchStatus.ERROR


class TestSignatures:
    BODY = '{"type":"batch.finished","label":"ünïcode"}'.encode()

    def signed(self, secrets: Secrets, at: datetime) -> dict[str, str]:
        return signed_headers(self.BODY, webhook_id="msg_b", at=at, keys=secrets.in_force(at))

    def test_the_schemes_own_library_verifies_them(self) -> None:
        now = datetime.now(UTC)
        secrets = Secrets.new("acme", now=now)
        headers = self.signed(secrets, now)
        assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        assert Webhook(secrets.secret).verify(self.BODY, headers) == {"type": "batch.finished", "label": "ünïcode"}

    @pytest.mark.parametrize(
        "change",
        [
            {"webhook-id": "msg_c"},
            {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 1)},
            {"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
        ],
    )
    def test_and_refuses_what_was_changed(self, change: dict[str, str]) -> None:
        now = datetime.now(UTC)
        secrets = Secrets.new("acme", now=now)
        with pytest.raises(WebhookVerificationError):
            Webhook(secrets.secret).verify(self.BODY, self.signed(secrets, now) | change)

    def test_an_old_one_is_refused(self) -> None:
        then = datetime.now(UTC) - timedelta(minutes=6)
        secrets = Secrets.new("acme", now=then)
        with pytest.raises(WebhookVerificationError, match="old"):
            Webhook(secrets.secret).verify(self.BODY, self.signed(secrets, then))

    def test_a_secret_has_256_random_bits(self) -> None:
        secrets = {Secrets.new("acme", now=NOW).secret for _ in range(10)}
        assert len(secrets) == 10
        assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in secrets)

    def test_after_a_rotation_both_sign_for_a_day(self) -> None:
        now = datetime.now(UTC)
        first = Secrets.new("acme", now=now - OVERLAP)
        second = first.rotated(now=now - OVERLAP + timedelta(seconds=1))
        for secret in (first.secret, second.secret):
            Webhook(secret).verify(self.BODY, self.signed(second, now))
        assert second.in_force(now + timedelta(seconds=1)) == [second.secret]
        third = second.rotated(now=now)
        assert third.in_force(now) == [third.secret, second.secret], "and never a third one"
