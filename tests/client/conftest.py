"""A server of its own for each test."""

from collections.abc import Iterator

import pytest

from asr_queue.client import Client, PollPolicy, RetryPolicy
from tests.client.contract_server import KEY, ContractServer, serving

RETRY = RetryPolicy(retry_for_s=5, first_wait_s=0.02, longest_wait_s=0.1)
NO_RETRY = RetryPolicy(retry_for_s=0)
POLL = PollPolicy(first_wait_s=0.02, longest_wait_s=0.1)


@pytest.fixture
def server() -> Iterator[ContractServer]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: ContractServer) -> Iterator[Client]:
    with Client(server.url, KEY, retry=RETRY, poll=POLL) as connected:
        yield connected
