"""The same attacks as events of an HTTP API, which is how they come on AWS."""

import base64
import json
from typing import Any

import pytest

from handlers import api
from tests.api.test_functions import Context, event
from tests.security.conftest import Target
from tests.security.http_attacks import HTTP_ATTACKS
from tests.security.wire import Attack

MOST_BYTES = 4_500_000
"""What Lambda takes as an event, once it is in base64 (Lambda quotas)."""
AS_EVENTS = tuple(
    attack
    for attack in HTTP_ATTACKS
    if attack.raw is None
    and len(attack.body or b"") < MOST_BYTES
    and not any(name == "Transfer-Encoding" for name, _ in attack.headers)
)


def as_event(attack: Attack, known: dict[str, str]) -> dict[str, Any]:
    """Return the event that API Gateway makes of a request (payload format 2.0)."""
    head, _, body = attack.to_bytes(known).partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    method, target, _ = line.split(" ", 2) if line.count(" ") == 2 else (line.split(" ")[0], attack.path, "")
    headers: dict[str, str] = {}
    for name, value in (one.split(": ", 1) for one in lines):
        headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
    path, _, query = target.partition("?")
    sample = event("api_submit.json")
    sample |= {"rawPath": path, "rawQueryString": query, "headers": headers}
    sample |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    sample["requestContext"]["http"] |= {"method": method, "path": path}
    return sample


@pytest.mark.usefixtures("event_loop_of_the_main_thread")
@pytest.mark.parametrize("attack", AS_EVENTS, ids=lambda attack: attack.what)
def test_every_attack_as_an_event_gets_the_same_answer(target: Target, attack: Attack) -> None:
    answer = api.handler(as_event(attack, target.known), Context())
    assert answer["statusCode"] == attack.status, answer["body"][:500]
    if attack.code is None:
        return
    if attack.path.startswith("/v1/"):
        assert answer["headers"]["content-type"] == "application/json"
        assert json.loads(answer["body"])["error"]["code"] == attack.code
    else:
        assert answer["headers"]["content-type"] == "application/problem+json"
        assert json.loads(answer["body"])["code"] == attack.code


def test_most_attacks_can_come_as_events() -> None:
    assert len(AS_EVENTS) > 130
