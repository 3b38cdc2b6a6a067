"""Each attack of the tables gets its answer, and changes nothing."""

import json

import pytest

from tests.security.conftest import Target
from tests.security.http_attacks import HTTP_ATTACKS
from tests.security.wire import Attack, send


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
        assert answer.headers["content-type"] == "application/problem+json"
        problem = json.loads(answer.body)
        assert (problem["code"], problem["status"]) == (attack.code, attack.status)
        assert len(answer.body) < 100_000
    if attack.status >= 400:
        assert _everything(target) == before
    assert send(target.address, Attack(what="", status=200).to_bytes(target.known)) is not None


def _everything(target: Target) -> tuple[list[str], int]:
    return target.system.store.list_keys(""), target.system.queue.backlog().visible
