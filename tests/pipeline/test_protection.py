"""Protection from scale-in, asked of an agent that speaks HTTP as the ECS agent does."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gpu_worker.protection import EcsSettings, TaskProtection
from tests.pipeline.makers import wav
from tests.pipeline.rig import Rig, until


@dataclass
class Agent:
    uri: str = ""
    status: int = 200
    answer: dict[str, object] = field(default_factory=lambda: {"protection": {"ProtectionEnabled": True}})
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    @property
    def protected(self) -> list[object]:
        return [state["ProtectionEnabled"] for _, state in self.asked]


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            agent.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            body = json.dumps(agent.answer).encode()
            self.send_response(agent.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        agent.uri = f"http://127.0.0.1:{server.server_port}/api/task"
        try:
            yield agent
        finally:
            server.shutdown()
            serving.join()


def test_protection_begins_and_ends_with_the_work(agent: Agent) -> None:
    protection = TaskProtection(agent.uri)
    for now_s, is_busy in enumerate([False, True, True, False, False]):
        protection.follow(is_busy=is_busy, now_s=now_s)
    url = "/api/task/task-protection/v1/state"
    assert agent.asked == [
        (url, {"ProtectionEnabled": True, "ExpiresInMinutes": 15}),
        (url, {"ProtectionEnabled": False}),
    ]


def test_protection_is_renewed_long_before_it_expires(agent: Agent) -> None:
    protection = TaskProtection(agent.uri)
    for now_s in range(0, 1200, 10):
        protection.follow(is_busy=True, now_s=now_s)
    assert agent.protected == [True] * 4


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, {"error": {"Code": "ServerException"}}), (200, {"failure": {"Reason": "DEPLOYMENT_BLOCKED"}})],
)
def test_an_agent_that_refuses_is_asked_again(agent: Agent, status: int, answer: dict[str, object]) -> None:
    agent.status, agent.answer = status, answer
    protection = TaskProtection(agent.uri)
    protection.follow(is_busy=True, now_s=0)
    protection.follow(is_busy=True, now_s=2)
    agent.status, agent.answer = 200, {"protection": {}}
    protection.follow(is_busy=True, now_s=4)
    protection.follow(is_busy=True, now_s=6)
    assert agent.protected == [True] * 3


def test_an_agent_that_is_away_costs_nothing() -> None:
    TaskProtection("http://127.0.0.1:1").follow(is_busy=True, now_s=0)


def test_a_worker_is_protected_while_it_holds_an_item(agent: Agent) -> None:
    rig = Rig(protection=TaskProtection(agent.uri))
    rig.engine.may_go_on.clear()
    with rig.worker():
        rig.submit(wav(1.0))
        until(lambda: agent.protected == [True])
        rig.engine.may_go_on.set()
        until(lambda: agent.protected == [True, False])


def test_elsewhere_than_on_ecs_there_is_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    assert EcsSettings().ecs_agent_uri is None
    monkeypatch.setenv("ECS_AGENT_URI", "http://169.254.170.2/api/1")
    assert EcsSettings().ecs_agent_uri == "http://169.254.170.2/api/1"
