"""The application over the fakes, and what a test needs to look behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_listing import MemoryBatchListing
from asr_queue.adapters.memory_notices import MemoryNoticeQueue
from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.domain.items import Operation
from asr_queue.usecases.manage_keys import create_key
from handlers.api import app
from handlers.settings import ApiSettings
from handlers.wiring import Services, services

FILE_TTL_S = 1800
MAX_UPLOAD_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The API and what is behind it."""

    api: TestClient
    """With the key of tenant `acme`."""
    stranger: TestClient
    """With the key of another tenant."""
    anonymous: TestClient
    wired: Services
    clock: ManualClock
    queue: MemoryQueue
    store: MemoryStore
    table: MemoryTable
    notice_queue: MemoryNoticeQueue

    def upload(self, data: bytes = b"RIFF") -> str:
        answer = self.api.post("/api/v1/files/upload", files={"file": ("talk.wav", data, "audio/wav")})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["file_id"])

    def submit(self, *file_ids: str, **fields: object) -> dict[str, object]:
        items = [{"operation": "transcribe", "ref_audio": file_id, **fields} for file_id in file_ids]
        answer = self.api.post("/api/v1/queue/submit", json={"label": "a label", "items": items})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(params=["all"])
def key_scope(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def system(key_scope: str) -> Iterator[System]:
    clock = ManualClock()
    queue, store, table = MemoryQueue(clock), MemoryStore(clock), MemoryTable(clock)
    notice_queue = MemoryNoticeQueue(clock)
    settings = ApiSettings(
        bucket="b",
        table="t",
        transcribe_queue_url="http://127.0.0.1/q",
        file_ttl_s=FILE_TTL_S,
        key_scope=key_scope,
        max_upload_bytes=MAX_UPLOAD_BYTES,
    )
    wired = Services(
        settings=settings,
        store=store,
        presigner=MemoryPresigner(store, clock),
        table=table,
        listing=MemoryBatchListing(table),
        notices=table.notices,
        notice_queue=notice_queue,
        queues={Operation.TRANSCRIBE: queue},
        registry=MemoryWorkerRegistry(),
        clock=clock,
    )
    keys = [create_key(tenant=tenant, name="test", table=table, clock=clock)[0] for tenant in ("acme", "other")]
    app.dependency_overrides[services] = lambda: wired
    clients = [TestClient(app, headers=headers) for headers in ({"X-API-Key": keys[0]}, {"X-API-Key": keys[1]}, {})]
    yield System(
        api=clients[0],
        stranger=clients[1],
        anonymous=clients[2],
        wired=wired,
        clock=clock,
        queue=queue,
        store=store,
        table=table,
        notice_queue=notice_queue,
    )
    for client in clients:
        client.close()
    app.dependency_overrides.clear()
