"""What is too large for the API goes straight to the store, without the key."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from asr_queue.client import ApiError, Client, TransportError
from asr_queue.client.caller import _THROUGH_API_MAX_BYTES, Caller
from asr_queue.client.pacing import RetryPolicy

LARGE = bytes(range(256)) * (_THROUGH_API_MAX_BYTES // 256 + 1)
RETRY = RetryPolicy(retry_for_s=2, first_wait_s=0.01)
TRANSCRIPT = {"text": "a long talk", "language": "English"}


@dataclass
class Both:
    """A server and its store at one address, and what came to the store."""

    url: str = ""
    presign_status: int = 200
    host: str = "127.0.0.1"
    part_bytes: int | None = None
    """Size of the parts; None for a form."""
    refusals: list[int] = field(default_factory=list)
    """What the store answers first."""
    form: dict[str, object] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    direct: list[int] = field(default_factory=list)
    """Sizes of uploads through the API."""
    completed: int = 0
    breaks: int = 0
    """Downloads that are broken off in the middle first."""
    asked: list[str] = field(default_factory=list)
    """Queries of downloads."""
    keys_seen: set[str | None] = field(default_factory=set)
    """Keys that were sent to the store."""

    async def presign(self, request: Request) -> Response:
        asked = await request.json()
        store = f"{self.url.replace('127.0.0.1', self.host)}/store"
        answer = {"file_id": "f", "expires_in_s": 60}
        if self.part_bytes is None:
            answer |= {"method": "POST", "url": store, "fields": {"key": "k", "Content-Type": asked["content_type"]}}
        else:
            offsets = range(0, asked["size_bytes"], self.part_bytes)
            answer |= {
                "method": "PUT",
                "parts": [
                    {
                        "number": number,
                        "url": f"{store}/{number}",
                        "offset_bytes": offset,
                        "size_bytes": min(self.part_bytes, asked["size_bytes"] - offset),
                    }
                    for number, offset in enumerate(offsets, start=1)
                ],
            }
        return JSONResponse(answer if self.presign_status == 200 else {}, self.presign_status)

    async def complete(self, request: Request) -> Response:
        self.completed += 1
        return JSONResponse({"file_id": request.path_params["file_id"]})

    async def upload(self, request: Request) -> Response:
        async with request.form() as form:
            self.direct.append(form["file"].size)
        return JSONResponse({"file_id": "direct"})

    async def store(self, request: Request) -> Response:
        self.keys_seen.add(request.headers.get("x-api-key"))
        if request.method == "GET":
            return JSONResponse(TRANSCRIPT)
        if request.method == "PUT":
            self.parts[request.path_params["number"]] = await request.body()
        else:
            async with request.form() as form:
                self.form = {**form, "file": await form["file"].read(), "last": list(form)[-1]}
        return Response(status_code=self.refusals.pop(0) if self.refusals else 204)

    async def download(self, request: Request) -> Response:
        self.asked.append(str(request.url.query))
        if self.breaks:
            self.breaks -= 1
            return StreamingResponse(self.broken())
        return RedirectResponse(f"{self.url}/store", 307)

    async def broken(self) -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise ConnectionAbortedError

    async def fetch(self, request: Request) -> Response:
        return RedirectResponse(f"{self.url}/store", 307)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/v1/files/presign", self.presign, methods=["POST"]),
                Route("/api/v1/files/upload", self.upload, methods=["POST"]),
                Route("/api/v1/files/{file_id}/complete", self.complete, methods=["POST"]),
                Route("/api/v1/files/{name}", self.fetch),
                Route("/api/v1/queue/batches/{batch_id}/download", self.download),
                Route("/store", self.store, methods=["GET", "POST"]),
                Route("/store/{number}", self.store, methods=["PUT"]),
            ]
        )


@pytest.fixture
def both() -> Iterator[Both]:
    both = Both()
    http = uvicorn.Server(uvicorn.Config(both.app(), log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        both.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=http.run, args=([listening],))
        thread.start()
        while not http.started:
            time.sleep(0.01)
        yield both
        http.should_exit = True
        thread.join()


@pytest.fixture
def client(both: Both) -> Iterator[Client]:
    with Client(both.url, "secret", retry=RETRY) as client:
        yield client


def test_a_large_file_is_posted_as_a_form_with_the_file_last_and_no_key(both: Both, client: Client) -> None:
    assert client.upload(LARGE, file_name="talk.mp3").file_id == "f"
    assert both.form == {"key": "k", "Content-Type": "audio/mpeg", "file": LARGE, "last": "file"}
    assert both.keys_seen == {None}
    assert (both.completed, both.direct) == (1, [])


def test_a_very_large_file_is_put_in_parts(both: Both, client: Client) -> None:
    both.part_bytes = 1_500_000
    client.upload(LARGE)
    assert b"".join(both.parts[str(number)] for number in range(1, len(both.parts) + 1)) == LARGE
    assert len(both.parts) == 3
    assert both.keys_seen == {None}
    assert both.completed == 1


@pytest.mark.parametrize(
    ("part_bytes", "told"), [(1_500_000, [1_500_000, 3_000_000, len(LARGE)]), (None, [262_144, 524_288, len(LARGE)])]
)
def test_it_is_told_how_much_is_sent(both: Both, part_bytes: int | None, told: list[int]) -> None:
    both.part_bytes = part_bytes
    sent: list[int] = []

    async def upload() -> None:
        caller = Caller(both.url, "secret", request_timeout_s=60, retry=RETRY)
        await caller.upload(LARGE, on_sent=lambda sent_bytes, _: sent.append(sent_bytes))
        await caller.aclose()

    asyncio.run(upload())
    assert [*sent[:2], sent[-1]] == told


@pytest.mark.parametrize("part_bytes", [None, 1_500_000])
def test_what_the_store_fails_at_is_sent_again(both: Both, client: Client, part_bytes: int | None) -> None:
    both.part_bytes, both.refusals = part_bytes, [503, 500]
    client.upload(LARGE)
    sent = both.form["file"] if part_bytes is None else b"".join(both.parts[str(number)] for number in (1, 2, 3))
    assert sent == LARGE


def test_what_the_store_refuses_is_not_completed(both: Both, client: Client) -> None:
    both.refusals = [403]
    with pytest.raises(ApiError) as raised:
        client.upload(LARGE)
    assert (raised.value.status, raised.value.code) == (403, "http_403")
    assert both.completed == 0


def test_a_small_file_goes_through_the_api(both: Both, client: Client) -> None:
    client.upload(LARGE[:_THROUGH_API_MAX_BYTES])
    assert both.direct == [_THROUGH_API_MAX_BYTES]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_cannot_presign_gets_the_file_itself(both: Both, client: Client, status: int) -> None:
    both.presign_status = status
    assert client.upload(LARGE).file_id == "direct"
    assert both.direct == [len(LARGE)]


def test_a_refusal_to_presign_is_an_error(both: Both, client: Client) -> None:
    both.presign_status = 413
    with pytest.raises(ApiError):
        client.upload(LARGE)
    assert both.direct == []


def test_a_store_that_does_not_answer_is_told_without_its_signed_address(both: Both, client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    both.url = f"http://127.0.0.1:{port}"
    with pytest.raises(TransportError) as raised:
        client.upload(LARGE)
    assert "the store at 127.0.0.1" in str(raised.value)
    assert "/store" not in str(raised.value)


def test_a_transcript_that_is_elsewhere_is_fetched_there_without_the_key(both: Both, client: Client) -> None:
    assert client.fetch("queue_transcribe_x.json").text == "a long talk"
    assert both.keys_seen == {None}


def test_a_download_that_breaks_off_is_begun_again_and_followed_to_the_store_without_the_key(
    both: Both, client: Client, tmp_path: Path
) -> None:
    both.breaks = 2
    path = client.download_batch("b", tmp_path / "all.zip", form="vtt")
    assert json.loads(path.read_bytes()) == TRANSCRIPT
    assert both.asked == ["format=vtt&as=zip"] * 3
    assert both.keys_seen == {None}
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.zip"]


def test_a_download_that_fails_leaves_what_was_there(both: Both, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    path.write_text("before")
    both.breaks = 1000
    with pytest.raises(TransportError):
        client.download_batch("b", path)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.zip"]
    with pytest.raises(OSError, match="No such file"):
        client.download_batch("b", tmp_path / "absent" / "all.zip")
    for wrong in ({"form": "pdf"}, {"archive": "tar"}):
        with pytest.raises(ValueError, match="is not a valid"):
            client.download_batch("b", path, **wrong)
