"""The application on a real socket, with two tenants: `acme`, who attacks, and `other`, who has something to lose."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import uvicorn
from fastapi.testclient import TestClient

from asr_queue.domain.keys import hash_key
from asr_queue.usecases.manage_keys import create_key, revoke_key
from handlers.api import app
from handlers.wiring import services
from tests.api.conftest import System, key_scope, system
from tests.security.wire import Answer, Attack, send

__all__ = ["key_scope", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is attacked, and what the attacker knows."""

    system: System
    address: tuple[str, int]
    known: dict[str, str]

    def meet(self, attack: Attack) -> Answer | None:
        """Let it come."""
        return send(self.address, attack.to_bytes(self.known))


@pytest.fixture(scope="session")
def address() -> Iterator[tuple[str, int]]:
    """Serve the application as `asr-queue up` does; what is behind it is each test's `system`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, http="h11", proxy_headers=False, access_log=False, log_level="error")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def target(system: System, address: tuple[str, int]) -> Target:
    revoked, kept = create_key(tenant="acme", name="revoked", table=system.table, clock=system.clock)
    revoke_key(kept.key_hash, table=system.table, clock=system.clock)
    # Nobody works here: whoever waits, waits in vain.
    impatient = system.wired.settings.model_copy(update={"sync_wait_s": 0.05})
    app.dependency_overrides[services] = lambda: replace(system.wired, settings=impatient)
    key = system.api.headers["X-API-Key"]
    theirs = system.stranger.post("/api/v1/files/upload", files={"file": ("secret.wav", b"RIFFsecret")}).json()
    items = [{"operation": "transcribe", "ref_audio": theirs["file_id"], "custom_id": "their secret"}]
    their_batch = system.stranger.post("/api/v1/queue/submit", json={"label": "secret", "items": items}).json()
    file_id = system.upload()
    lines = {"LINES": (system.api, file_id), "THEIR_LINES": (system.stranger, theirs["file_id"])}
    return Target(
        system=system,
        address=address,
        known={
            "KEY": key,
            "REVOKED": revoked,
            "HASH": hash_key(key),
            "FILE": file_id,
            "BATCH": str(system.submit(file_id)["batch_id"]),
            "THEIR_KEY": system.stranger.headers["X-API-Key"],
            "THEIR_FILE": theirs["file_id"],
            "THEIR_BATCH": their_batch["batch_id"],
            "THEIR_ITEM": their_batch["item_ids"][0],
            **{name: _lines(client, named) for name, (client, named) in lines.items()},
        },
    )


def _lines(client: TestClient, file_id: str) -> str:
    """Upload a line for a batch that names a file; return its id."""
    line = {"custom_id": "their secret", "method": "POST", "url": "/v1/audio/transcriptions"}
    data = json.dumps(line | {"body": {"model": "m", "file_id": file_id}}).encode()
    answer = client.post("/v1/files", files={"file": ("lines.jsonl", data)}, data={"purpose": "batch"})
    return str(answer.json()["id"])
