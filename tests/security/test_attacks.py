"""Each attack of the tables gets its answer, and changes nothing."""

import json
import socket

import pytest

from tests.pipeline.rig import until
from tests.security.conftest import Target
from tests.security.http_attacks import FORM, HEAD, HTTP_ATTACKS, PRESIGN, SUBMIT, UPLOAD
from tests.security.wire import PATIENCE_S, Attack, form, read, send


def test_the_table_is_as_long_as_was_promised_and_tries_nothing_twice() -> None:
    names = [attack.what for attack in HTTP_ATTACKS]
    assert len(names) == len(set(names))
    assert len(names) >= 60


@pytest.mark.parametrize("attack", HTTP_ATTACKS, ids=lambda attack: attack.what)
def test_every_attack_over_http_gets_its_answer(target: Target, attack: Attack) -> None:
    before = _everything(target)
    answer = target.meet(attack)
    assert answer is not None
    assert answer.status == attack.status, answer.body[:500]
    told = answer.headers | {"body": answer.body.decode()}
    for secret in ("Traceback", "site-packages", "RIFFsecret", "their secret", target.known["THEIR_KEY"]):
        assert not any(secret in text for text in told.values())
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers
    if attack.code is not None:
        assert len(answer.body) < 100_000
        if attack.path.startswith("/v1/"):
            assert answer.headers["content-type"] == "application/json"
            assert json.loads(answer.body)["error"]["code"] == attack.code
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = json.loads(answer.body)
            assert (problem["code"], problem["status"]) == (attack.code, attack.status)
    if attack.status >= 400:
        assert _everything(target) == before
    assert send(target.address, Attack(what="", status=200).to_bytes(target.known)) is not None


def test_a_body_that_breaks_off_is_answered_to_nobody_and_called_no_bug(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    for path, body in ((SUBMIT, b'{"items"'), (UPLOAD, b"--x\r\nContent-Disposition: form-data"), (PRESIGN, b"{")):
        headers = (*FORM, ("Content-Length", "1000"))
        attack = Attack(what="", status=0, method="POST", path=path, headers=headers, body=body)
        send(target.address, attack.to_bytes(target.known), then_close=True)
    until(lambda: [record for record in caplog.records if getattr(record, "route", None) == PRESIGN])
    assert "bug" not in caplog.messages


def test_a_slow_form_keeps_nobody_else_waiting(target: Target) -> None:
    body = form((HEAD, b"RIFF"))
    whole = Attack(what="", status=200, method="POST", path=UPLOAD, headers=FORM, body=body).to_bytes(target.known)
    health = Attack(what="", status=200).to_bytes(target.known)
    with socket.create_connection(target.address, timeout=PATIENCE_S) as slow:
        for start in range(0, len(whole), 60):
            slow.sendall(whole[start : start + 60])
            answer = send(target.address, health)
            assert answer is not None
            assert answer.status == 200
        kept = read(slow)
    assert kept is not None
    assert kept.status == 200


def _everything(target: Target) -> tuple[list[str], int]:
    return target.system.store.list_keys(""), target.system.queue.backlog().visible
