"""The short form of `make schemathesis`."""

from tests.security.conformance import judge
from tests.security.conftest import Target


def test_the_api_is_as_it_is_described_whatever_is_sent_to_it(target: Target) -> None:
    host, port = target.address
    keys = {"acme": target.known["KEY"], "other": target.known["THEIR_KEY"]}
    outcome = judge(f"http://{host}:{port}", keys, examples=10, seed=1)
    assert outcome.is_clean, outcome.text
    assert outcome.cases > 200, outcome.text
