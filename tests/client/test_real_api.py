"""The client against the real API on a real socket, over the fakes; a thread stands in for the workers."""

import asyncio
import json
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import uvicorn

from asr_queue.adapters.memory_clock import ManualClock
from asr_queue.adapters.memory_listing import MemoryBatchListing
from asr_queue.adapters.memory_presigner import MemoryPresigner
from asr_queue.adapters.memory_queue import MemoryQueue
from asr_queue.adapters.memory_store import MemoryStore
from asr_queue.adapters.memory_table import MemoryTable
from asr_queue.adapters.memory_workers import MemoryWorkerRegistry
from asr_queue.client import (
    ApiError,
    AsyncClient,
    Client,
    Priority,
    QueueClientError,
    SpeechResult,
    SubmitAnswer,
    speech_item,
    transcribe_item,
)
from asr_queue.domain.items import ItemError, Operation
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.record_outcome import Outcome, record_outcomes, write_result
from asr_queue.wire.messages import ItemMessage
from asr_queue.wire.transcript import Transcript, TranscriptWord
from handlers.api import app
from handlers.settings import ApiSettings
from handlers.wiring import Services, services
from tests.client.conftest import POLL, RETRY


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    api_key: str
    clock: ManualClock


def work(wired: Services, queue: MemoryQueue, ended: threading.Event) -> None:
    """Transcribe what the queue holds: an upload's text is its bytes, `bad` is no audio, and `long` takes for ever."""
    while not ended.wait(0.01):
        for delivery in queue.receive(max_messages=10, wait_s=0):
            message = ItemMessage.parse(delivery.body)
            item = wired.table.claim_item(message.batch_id, message.index, now=wired.clock.now())
            if item is None:
                continue  # cancelled
            text = (wired.store.get(item.upload_key) or b"").decode()
            if text == "long":
                continue
            if item.operation is Operation.VOICE_CLONE:
                size = write_result(item, f"{item.text} like {text}".encode(), store=wired.store)
                outcome = Outcome(item=item, audio_s=1.5, result_bytes=size)
            elif text == "bad":
                outcome = Outcome(item=item, error=ItemError("invalid_audio", "Invalid audio format: not audio"))
            else:
                words = [TranscriptWord(start=i, end=i + 1, text=word) for i, word in enumerate(text.split())]
                transcript = Transcript(
                    text=text, language="English", timestamps=words if item.return_timestamps else None
                )
                size = write_result(item, transcript.to_json(), store=wired.store)
                outcome = Outcome(item=item, audio_s=2.5, result_bytes=size)
            record_outcomes([outcome], store=wired.store, table=wired.table, clock=wired.clock, file_ttl_s=1800)
            queue.delete([delivery.receipt_handle])


@pytest.fixture
def running() -> Iterator[Running]:
    clock = ManualClock()
    queue, store, table = MemoryQueue(clock), MemoryStore(), MemoryTable(clock)
    wired = Services(
        settings=ApiSettings(
            bucket="b",
            table="t",
            transcribe_queue_url="http://127.0.0.1/q",
            voice_engine="tiny",
            voice_clone_queue_url="http://127.0.0.1/v",
        ),
        store=store,
        presigner=MemoryPresigner(store, clock),
        table=table,
        listing=MemoryBatchListing(table),
        notices=table.notices,
        notice_queue=None,
        queues={Operation.TRANSCRIBE: queue, Operation.VOICE_CLONE: queue},
        registry=MemoryWorkerRegistry(),
        clock=clock,
    )
    key, _ = create_key(tenant="acme", name="test", table=table, clock=clock)
    app.dependency_overrides[services] = lambda: wired
    http = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = [
            threading.Thread(target=http.run, args=([listening],)),
            threading.Thread(target=work, args=(wired, queue, ended)),
        ]
        for thread in threads:
            thread.start()
        while not http.started:
            time.sleep(0.01)
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", key, clock)
        http.should_exit = True
        ended.set()
        for thread in threads:
            thread.join()
    app.dependency_overrides.clear()


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with Client(running.url, running.api_key, retry=RETRY, poll=POLL) as connected:
        yield connected


def test_a_named_voice_speaks_and_what_it_says_becomes_a_file(client: Client, tmp_path: Path) -> None:
    file_id = client.upload(b"anna").file_id
    with pytest.raises(ApiError, match="agreed"):
        client.create_voice("Anna", file_id, consent=False)
    voices = [client.create_voice(name, file_id, said="Hello.", consent=True) for name in ("Anna", "Anna again")]
    assert {voice.voice_id for voice in client.list_voices()} == {voice.voice_id for voice in voices}
    item = speech_item(voices[0].voice_id, "Good morning.", form="mp3")
    [done] = client.wait(client.submit([item]).batch_id).items
    assert client.save(done, tmp_path / "said.mp3").read_bytes() == b"Good morning. like anna"
    assert [path.name for path in tmp_path.iterdir()] == ["said.mp3"]
    for voice in voices:
        client.delete_voice(voice.voice_id)
    assert list(client.list_voices()) == []


def said_in_order(results: Iterable[SpeechResult]) -> list[bytes | str]:
    """Return for each text its speech, or the code of its error."""
    ordered = sorted(results, key=lambda result: result.number)
    return [result.error.code if result.error else result.speech or b"" for result in ordered]


def test_many_texts_become_speech_and_errors(client: Client, tmp_path: Path) -> None:
    (sample := tmp_path / "anna.wav").write_text("anna")
    texts = [f"Text {n}." if n % 100 else "..." for n in range(250)]
    texts[7] = "x" * 10_001
    results = list(client.speak(iter(texts), voice=sample, language="en", form="mp3"))
    expected = [f"{text} like anna".encode() if text[:4] == "Text" else "text_empty" for text in texts]
    expected[7] = "text_too_long"
    assert said_in_order(results) == expected
    assert {result.text for result in results} == set(texts)
    assert {result.audio_s for result in results if result.speech} == {1.5}
    for result in results[:20]:
        if result.speech:
            assert result.save(tmp_path / "said.mp3").read_bytes() == result.speech
        else:
            with pytest.raises(QueueClientError):
                result.save(tmp_path / "nothing.mp3")
    assert {path.name for path in tmp_path.iterdir()} == {"anna.wav", "said.mp3"}


def test_a_voice_is_a_sample_or_an_id(client: Client, tmp_path: Path) -> None:
    file_id = client.upload(b"anna").file_id
    voice_id = client.create_voice("Anna", file_id, consent=True).voice_id
    for voice in (b"anna", file_id, voice_id):
        assert said_in_order(client.speak(["Hello.", "Bye."], voice=voice)) == [b"Hello. like anna", b"Bye. like anna"]
    client.delete_voice(voice_id)
    assert said_in_order(client.speak(["Hello.", "Bye."], voice=voice_id)) == ["file_expired"] * 2
    assert said_in_order(client.speak(["Hello."], voice=str(tmp_path / "none.wav"))) == ["unreadable_source"]
    assert said_in_order(client.speak(["Hello."], voice=file_id, language="Klingon")) == ["unknown_language"]
    assert said_in_order(client.speak(["Hello."], voice=client.upload(b"long").file_id, deadline_s=0.3)) == [
        "deadline_exceeded"
    ]
    with pytest.raises(ValueError, match="ogg"):
        client.speak(["Hello."], voice=file_id, form="ogg")


def test_the_asynchronous_client_speaks_too(running: Running) -> None:
    async def said() -> list[SpeechResult]:
        async with AsyncClient(running.url, running.api_key, retry=RETRY, poll=POLL) as client:
            return [result async for result in client.speak(["Hello.", "?"], voice=b"anna", label="greetings")]

    assert said_in_order(asyncio.run(said())) == [b"Hello. like anna", "text_empty"]


def test_many_files_become_transcripts_and_errors(client: Client, tmp_path: Path) -> None:
    paths = []
    for n in range(250):
        path = tmp_path / f"{n}.wav"
        path.write_text("bad" if n % 50 == 0 else f"words of {n}")
        paths.append(path)
    results = {result.path: result for result in client.transcribe(paths, timestamps=True, language="en")}
    assert set(results) == set(paths)
    assert Counter(result.error.code if result.error else None for result in results.values()) == {
        None: 245,
        "invalid_audio": 5,
    }
    for path, result in results.items():
        if result.transcript:
            assert result.transcript.text == path.read_text()
            assert [word.text for word in result.transcript.timestamps or []] == path.read_text().split()
            assert result.audio_s == 2.5


def test_the_steps_one_by_one(client: Client) -> None:
    uploaded = client.upload("déjà vu".encode(), file_name="naïve name.wav")
    assert uploaded.size_bytes == 9
    submitted = client.submit([transcribe_item(uploaded.file_id, custom_id="one")], label="mine", idempotency_key="k")
    again = client.submit([transcribe_item(uploaded.file_id, custom_id="one")], label="mine", idempotency_key="k")
    assert again.batch_id == submitted.batch_id
    batch = client.wait(submitted.batch_id, deadline_s=60)
    assert (batch.label, batch.items[0].custom_id) == ("mine", "one")
    assert client.fetch(batch.items[0]).text == "déjà vu"


def test_a_batch_is_downloaded_as_one_file(client: Client, running: Running, tmp_path: Path) -> None:
    items = [
        transcribe_item(client.upload(text.encode()).file_id, timestamps=True, custom_id="item")
        for text in ("hello", "bad", "x" * 2_000_000)
    ]
    batch_id = client.submit(items).batch_id
    client.wait(batch_id, deadline_s=60)
    with zipfile.ZipFile(client.download_batch(batch_id, tmp_path / "all.zip", form="srt")) as archive:
        assert archive.namelist() == ["0001_item.srt", "0003_item.srt", "errors.json"]
        assert archive.read("0001_item.srt").decode().endswith("hello\n")

    async def as_lines() -> Path:
        async with AsyncClient(running.url, running.api_key) as other:
            return await other.download_batch(batch_id, tmp_path / "all.jsonl", archive="jsonl")

    told = [json.loads(line) for line in asyncio.run(as_lines()).read_text().splitlines()]
    assert [line["status"] for line in told] == ["done", "error", "done"]
    assert len(told[2]["transcript"]["text"]) == 2_000_000, "more than what is answered in one piece"
    with pytest.raises(ApiError) as raised:
        client.download_batch(client.submit([transcribe_item(client.upload(b"long").file_id)]).batch_id, tmp_path / "a")
    assert (raised.value.status, raised.value.code) == (409, "batch_unfinished")


def test_a_transcript_is_gone_after_thirty_minutes(client: Client, running: Running) -> None:
    submitted = client.submit([transcribe_item(client.upload(b"hello").file_id)])
    [item] = client.wait(submitted.batch_id, deadline_s=60).items
    running.clock.advance(30 * 60)
    with pytest.raises(ApiError) as raised:
        client.fetch(item)
    assert (raised.value.status, raised.value.code) == (410, "file_expired")


def test_what_is_deleted_is_gone_and_may_be_deleted_again(client: Client) -> None:
    uploaded = client.upload(b"hello")
    submitted = client.submit([transcribe_item(uploaded.file_id)])
    [item] = client.wait(submitted.batch_id, deadline_s=60).items
    gone = {
        "file_expired": (lambda: client.delete_file(item), lambda: client.fetch(item)),
        "batch_deleted": (lambda: client.delete_batch(submitted.batch_id), lambda: client.status(submitted.batch_id)),
    }
    for code, (delete, read) in gone.items():
        for _ in range(2):
            delete()
        with pytest.raises(ApiError) as raised:
            read()
        assert (raised.value.status, raised.value.code) == (410, code)
    client.delete_file(uploaded.file_id)


def test_an_unknown_language_fails_every_file_with_the_servers_words(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("hello")
    [result] = client.transcribe([tmp_path / "a.wav"], language="Klingon")
    assert result.error is not None
    assert result.error.code == "unknown_language"
    assert "Klingon" in str(result.error)


def test_access_is_told_from_a_refused_key_and_a_wrong_address(running: Running) -> None:
    async def code_of(url: str, key: str) -> str | None:
        async with AsyncClient(url, key) as client:
            try:
                await client.check_access()
            except ApiError as error:
                return error.code
        return None

    assert asyncio.run(code_of(running.url, running.api_key)) is None
    assert asyncio.run(code_of(running.url, "wrong")) == "unauthorized"
    assert asyncio.run(code_of(f"{running.url}/api/v1", running.api_key)) == "not_found"


class TestControl:
    def submit(self, client: Client, *texts: bytes, **told: str) -> SubmitAnswer:
        items = [transcribe_item(client.upload(text).file_id, custom_id=text.decode()) for text in texts]
        return client.submit(items, **told)

    def test_batches_are_listed_newest_first_over_all_pages(self, client: Client, running: Running) -> None:
        upload = client.upload(b"hello")
        ids = []
        for number in range(103):
            ids.append(client.submit([transcribe_item(upload.file_id)], label=f"{number % 2}").batch_id)
            running.clock.advance(0.001)
        assert [batch.batch_id for batch in client.list_batches()] == ids[::-1]
        assert [batch.batch_id for batch in client.list_batches(label="1")] == ids[1::2][::-1]
        newest = next(iter(client.list_batches()))
        assert (newest.batch_id, newest.label, newest.total) == (ids[-1], "0", 1)
        made_at = datetime.fromisoformat(newest.created_at)
        assert [batch.batch_id for batch in client.list_batches(created_from=made_at)] == ids[-1:]
        assert len(list(client.list_batches(created_to=made_at))) == 102

    def test_the_asynchronous_client_lists_cancels_and_retries_too(self, running: Running) -> None:
        async def steps() -> list[str]:
            async with AsyncClient(running.url, running.api_key, retry=RETRY, poll=POLL) as client:
                items = [transcribe_item((await client.upload(text)).file_id) for text in (b"bad", b"long")]
                first = await client.submit(items, priority=Priority.LOW)
                while (await client.status(first.batch_id)).failed == 0:
                    await asyncio.sleep(0.01)
                assert await client.cancel(first.batch_id) == 1
                running.clock.advance(1)
                second = await client.retry_failed(first.batch_id)
                await client.wait(second.batch_id, deadline_s=60)
                assert (second.retry_of, second.total_items) == (first.batch_id, 1)
                return [f"{batch.status} {batch.priority}" async for batch in client.list_batches(state="error")]

        assert asyncio.run(steps()) == ["error low", "error low"]

    def test_a_batch_or_an_item_is_cancelled_once(self, client: Client) -> None:
        submitted = self.submit(client, b"long", b"long too"[:4], b"hello")
        assert client.cancel_item(submitted.batch_id, submitted.item_ids[0])
        assert not client.cancel_item(submitted.batch_id, submitted.item_ids[0])
        while client.status(submitted.batch_id).completed == 0:
            time.sleep(0.01)
        assert client.cancel(submitted.batch_id) == 1
        assert client.cancel(submitted.batch_id) == 0
        codes = [item.error_code for item in client.wait(submitted.batch_id).items]
        assert codes == ["cancelled", "cancelled", None]

    def test_what_failed_is_retried_and_where_nothing_did_the_server_says_so(self, client: Client) -> None:
        submitted = self.submit(client, b"bad", b"hello", priority="high")
        client.wait(submitted.batch_id, deadline_s=60)
        again = client.retry_failed(submitted.batch_id, idempotency_key="once")
        assert client.retry_failed(submitted.batch_id, idempotency_key="once") == again
        assert [item.custom_id for item in client.wait(again.batch_id, deadline_s=60).items] == ["bad"]
        fine = self.submit(client, b"hello")
        client.wait(fine.batch_id, deadline_s=60)
        with pytest.raises(ApiError) as raised:
            client.retry_failed(fine.batch_id)
        assert (raised.value.status, raised.value.code) == (409, "nothing_to_retry")

    def test_what_no_server_could_understand_is_refused_before_it_is_sent(self, client: Client) -> None:
        with pytest.raises(ValueError, match="urgent"):
            client.submit([transcribe_item("x")], priority="urgent")
        with pytest.raises(ValueError, match="paused"):
            next(client.list_batches(state="paused"))
        with pytest.raises(ValueError, match="time zone"):
            next(client.list_batches(created_from=datetime(2026, 1, 31)))
