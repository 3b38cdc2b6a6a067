"""Single calls against a real server that misbehaves."""

import asyncio
import itertools
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from asr_queue.client import (
    ApiError,
    AsyncClient,
    BadAnswerError,
    Client,
    DeadlineError,
    SourceError,
    TransportError,
    transcribe_item,
)
from tests.client.conftest import NO_RETRY, POLL, RETRY
from tests.client.contract_server import KEY, ContractServer, Plain, Refuse, Reset, Slow


def test_the_four_steps_lead_from_bytes_to_a_transcript(client: Client, server: ContractServer) -> None:
    file_id = client.upload(b"hello world", file_name="hello.wav").file_id
    assert server.uploads[file_id] == ("hello.wav", b"hello world")
    submitted = client.submit([transcribe_item(file_id, timestamps=True, custom_id="one")], label="mine")
    batch = client.wait(submitted.batch_id)
    assert (batch.label, batch.completed, batch.items[0].custom_id) == ("mine", 1, "one")
    transcript = client.fetch(batch.items[0])
    assert transcript.text == "hello world"
    assert [word.text for word in transcript.timestamps or []] == ["hello", "world"]


def test_the_asynchronous_client_does_the_same(server: ContractServer) -> None:
    async def steps() -> str:
        async with AsyncClient(server.url, KEY, retry=RETRY, poll=POLL) as client:
            uploaded = await client.upload(b"hello")
            submitted = await client.submit([transcribe_item(uploaded.file_id)])
            batch = await client.wait(submitted.batch_id)
            return (await client.fetch(batch.items[0])).text

    assert asyncio.run(steps()) == "hello"


@pytest.mark.parametrize(
    "fault", [Refuse(503), Refuse(429), Refuse(500), Refuse(502), Reset(), Reset(after_effect=True)]
)
@pytest.mark.parametrize("step", ["upload", "submit", "status", "fetch"])
def test_every_call_rides_out_a_fault(client: Client, server: ContractServer, step: str, fault: object) -> None:
    server.script(step, fault, fault)  # type: ignore[arg-type]
    file_id = client.upload(b"hello").file_id
    batch = client.wait(client.submit([transcribe_item(file_id)]).batch_id)
    assert client.fetch(batch.items[0]).text == "hello"
    assert len(server.times(step)) == 3  # type: ignore[arg-type]


def test_a_submit_whose_reply_is_lost_makes_no_second_batch(client: Client, server: ContractServer) -> None:
    file_id = client.upload(b"hello").file_id
    server.script("submit", Reset(after_effect=True), Slow(0), Refuse(500))
    client.submit([transcribe_item(file_id)])
    assert len(server.batches) == 1
    client.submit([transcribe_item(file_id)])
    assert len(server.batches) == 2, "another submit is another batch"


def test_a_submit_whose_first_try_still_runs_is_asked_for_again(client: Client, server: ContractServer) -> None:
    file_id = client.upload(b"hello").file_id
    server.script("submit", Refuse(409, "request_in_progress"))
    assert client.submit([transcribe_item(file_id)]).total_items == 1


def test_no_try_comes_sooner_than_retry_after(client: Client, server: ContractServer) -> None:
    server.script("upload", Refuse(503, retry_after_s=1))
    client.upload(b"hello")
    first, second = server.times("upload")
    assert second - first >= 1.0


def test_a_retry_after_beyond_the_patience_is_not_waited_for(client: Client, server: ContractServer) -> None:
    server.script("upload", Refuse(503, retry_after_s=3600))
    with pytest.raises(ApiError) as raised:
        client.upload(b"hello")
    assert len(server.times("upload")) == 1
    assert (raised.value.status, raised.value.retry_after_s) == (503, 3600)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 413, 422])
def test_a_refusal_is_not_repeated(client: Client, server: ContractServer, status: int) -> None:
    server.script("upload", Refuse(status, "some_code"))
    with pytest.raises(ApiError, match="refused: some_code") as raised:
        client.upload(b"hello")
    assert (raised.value.status, raised.value.code) == (status, "some_code")
    assert len(server.times("upload")) == 1


def test_a_server_that_keeps_failing_is_given_up_with_its_own_words(server: ContractServer) -> None:
    server.always["upload"] = Refuse(503, "busy")
    with Client(server.url, KEY, retry=NO_RETRY) as client, pytest.raises(ApiError, match="refused: busy"):
        client.upload(b"hello")


def test_a_server_that_is_not_there_is_a_transport_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers, and nobody else gets the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url, KEY, retry=NO_RETRY) as client, pytest.raises(TransportError, match=url) as raised:
            client.status("x")
    assert raised.value.code == "no_answer"


def test_an_answer_that_takes_too_long_is_a_transport_error(server: ContractServer) -> None:
    server.script("upload", Slow(0.6))
    hasty = Client(server.url, KEY, request_timeout_s=0.1, retry=NO_RETRY)
    with hasty, pytest.raises(TransportError, match="timed out"):
        hasty.upload(b"hello")


def test_another_service_at_the_address_is_recognised(client: Client, server: ContractServer) -> None:
    server.script("upload", Plain(), Plain(b'{"file_id": 7}'))
    with pytest.raises(BadAnswerError, match="not an answer of asr-queue"):
        client.upload(b"hello")
    with pytest.raises(BadAnswerError, match="file_id"):
        client.upload(b"hello")


def test_access_is_checked_without_side_effects(client: Client, server: ContractServer) -> None:
    client.check_access()
    assert [step for step, _ in server.calls] == ["status"]
    with Client(server.url, "wrong") as stranger, pytest.raises(ApiError) as raised:
        stranger.check_access()
    assert raised.value.code == "unauthorized"
    with Client(f"{server.url}/elsewhere", KEY) as lost, pytest.raises(ApiError) as raised:
        lost.check_access()
    assert raised.value.code == "http_404"


def test_a_source_that_cannot_be_read_says_so(client: Client, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        client.upload(tmp_path / "absent.wav")
    with pytest.raises(SourceError, match="is not a file"):
        client.upload(tmp_path)
    with pytest.raises(SourceError, match="null"):
        client.upload("a\0b")


def test_a_large_file_arrives_whole_at_the_second_try(client: Client, server: ContractServer, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(bytes(range(256)) * 12_000)
    server.script("upload", Reset(after_effect=True))
    file_id = client.upload(path).file_id
    assert server.uploads[file_id] == ("long.wav", path.read_bytes())


def test_a_name_that_is_no_text_is_still_sent(client: Client, server: ContractServer, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.wav"
    path.write_bytes(b"hello")
    assert server.uploads[client.upload(path).file_id] == ("caf?.wav", b"hello")


def test_waiting_ends_at_the_deadline(client: Client, server: ContractServer) -> None:
    server.polls_to_finish = 10**9
    batch_id = client.submit([transcribe_item(client.upload(b"hello").file_id)]).batch_id
    began_s = time.monotonic()
    with pytest.raises(DeadlineError, match="0 of 1 items"):
        client.wait(batch_id, deadline_s=0.3)
    assert time.monotonic() - began_s >= 0.3


def test_an_interrupt_stops_the_call_and_leaves_the_client_usable(client: Client, server: ContractServer) -> None:
    server.polls_to_finish = 10**9
    batch_id = client.submit([transcribe_item(client.upload(b"hello").file_id)]).batch_id
    main = threading.main_thread().ident
    assert main is not None
    interrupt = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        client.wait(batch_id)
    time.sleep(0.1)
    before = len(server.calls)
    time.sleep(0.3)
    assert len(server.calls) == before
    client.check_access()


def test_polls_become_rarer_while_nothing_moves(client: Client, server: ContractServer) -> None:
    server.polls_to_finish = 10
    client.wait(client.submit([transcribe_item(client.upload(b"hello").file_id)]).batch_id)
    gaps = [later - earlier for earlier, later in itertools.pairwise(server.times("status"))]
    assert min(gaps[-3:]) >= 0.08 > gaps[0]


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host:port", "/api"])
def test_an_address_that_is_none_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|address"):
        AsyncClient(url, KEY)


@pytest.mark.parametrize("key", ["", " \n", "two\nlines", "clé"])
def test_a_key_that_no_header_can_carry_is_a_value_error(key: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        AsyncClient("http://127.0.0.1:1", key)


def test_a_key_may_end_with_the_line_that_it_was_read_from(server: ContractServer) -> None:
    with Client(server.url, f"{KEY}\n") as client:
        client.check_access()


def test_items_beyond_the_contracts_limit_are_refused_before_they_are_sent(
    client: Client, server: ContractServer
) -> None:
    with pytest.raises(ValueError, match="1000"):
        client.submit([transcribe_item("x")] * 1001)
    with pytest.raises(ValueError, match="at least 1"):
        client.submit([])
    assert server.calls == []


def test_an_unfinished_item_has_nothing_to_fetch(client: Client, server: ContractServer) -> None:
    server.polls_to_finish = 2
    batch = client.status(client.submit([transcribe_item(client.upload(b"hello").file_id)]).batch_id)
    with pytest.raises(ValueError, match="is queued"):
        client.fetch(batch.items[0])


def test_a_closed_client_says_so(server: ContractServer) -> None:
    client = Client(server.url, KEY)
    client.close()
    client.close()
    with pytest.raises(RuntimeError):
        client.check_access()
