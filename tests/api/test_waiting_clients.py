"""Waiting for a change over a real socket: what many clients hold meanwhile, and what one leaves behind that goes."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from anyio.from_thread import start_blocking_portal

from handlers.api import app, handler
from tests.api.conftest import System
from tests.api.test_functions import Context

POOL_THREADS = 40
"""What AnyIO has for functions that block."""


@pytest.fixture
def url(system: System) -> Iterator[str]:
    del system
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


def client(system: System, url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=url, headers=system.api.headers, timeout=60, limits=limits, trust_env=False)


def test_others_are_served_while_more_clients_wait_than_there_are_threads(system: System, url: str) -> None:
    path = f"/api/v1/queue/status/{system.submit(system.upload())['batch_id']}"

    async def crowd() -> tuple[float, list[int]]:
        async with client(system, url) as connected:
            waiting = [asyncio.create_task(connected.get(path, params={"wait": 4})) for _ in range(2 * POOL_THREADS)]
            await asyncio.sleep(1.5)
            began_s = time.monotonic()
            (await connected.get("/api/v1/health")).raise_for_status()
            took_s = time.monotonic() - began_s
            assert not any(task.done() for task in waiting)
            return took_s, [answer.status_code for answer in await asyncio.gather(*waiting)]

    with start_blocking_portal() as beside:
        took_s, statuses = beside.call(crowd)
    assert took_s < 2
    assert statuses == [200] * 2 * POOL_THREADS


def test_a_client_that_goes_is_not_waited_for(system: System, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/api/v1/queue/status/{system.submit(system.upload())['batch_id']}"
    looks: list[float] = []
    load_batch = system.table.load_batch

    def watched(batch_id: str):
        looks.append(time.monotonic())
        return load_batch(batch_id)

    monkeypatch.setattr(system.table, "load_batch", watched)

    async def go_early() -> None:
        async with client(system, url) as connected:
            with contextlib.suppress(httpx.ReadTimeout):
                await connected.get(path, params={"wait": 20}, timeout=1.0)

    with start_blocking_portal() as beside:
        beside.call(go_early)
    gone_s = time.monotonic()
    time.sleep(4)
    assert looks
    assert max(looks) < gone_s + 2, "one more look, at most"


@pytest.mark.usefixtures("event_loop_of_the_main_thread")
def test_a_function_in_lambda_waits_as_well(system: System) -> None:
    batch_id = system.submit(system.upload())["batch_id"]
    event = json.loads((Path(__file__).parents[2] / "events" / "api_health.json").read_text())
    path = f"/api/v1/queue/status/{batch_id}"
    event |= {"rawPath": path, "rawQueryString": "wait=1", "queryStringParameters": {"wait": "1"}}
    event["headers"] |= {"x-api-key": system.api.headers["X-API-Key"]}
    event["requestContext"]["http"]["path"] = path
    began_s = time.monotonic()
    answer = handler(event, Context())
    assert time.monotonic() - began_s >= 1
    assert (answer["statusCode"], json.loads(answer["body"])["queued"]) == (200, 1)
    event["headers"] |= {"if-none-match": answer["headers"]["etag"]}
    again = handler(event, Context())
    assert (again["statusCode"], again["body"]) == (304, "")
