"""Where requests of callbacks go, and where they do not."""

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from asr_queue.adapters import webhooks
from asr_queue.adapters.webhooks import HttpWebhookCaller, resolve
from tests.webhooks.receivers import certificate, dripping, receiving

HEADERS = {"webhook-id": "msg_1", "Content-Type": "application/json"}
INNER = "callback_url was not called: its host has an inner address."


class Names:
    """A DNS: each question gets the next answer, and the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def everything_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine for the public internet, for tests of what comes after that question."""
    monkeypatch.setattr(webhooks, "is_public", lambda _: True)


def test_a_delivery_arrives_as_it_was_made() -> None:
    with receiving() as receiver:
        host = f"127.0.0.1:{receiver.port}"
        caller = HttpWebhookCaller(trusted=frozenset({host}))
        assert caller.post(f"http://{host}/hook?a=b%20c", headers=HEADERS, body="ünïcode".encode()) == (204, None)
    [received] = receiver.received
    assert received.path == "/hook?a=b%20c"
    assert received.body == "ünïcode".encode()
    assert received.headers["host"] == host
    assert received.headers["webhook-id"] == "msg_1"
    assert received.headers["connection"] == "close"


@pytest.mark.parametrize("status", [200, 301, 302, 307, 404, 410, 500])
def test_the_status_is_told_and_no_redirection_is_followed(status: int) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: status
        host = f"127.0.0.1:{receiver.port}"
        caller = HttpWebhookCaller(trusted=frozenset({host}))
        assert caller.post(f"http://{host}/hook", headers=HEADERS, body=b"{}") == (status, None)
    assert [received.path for received in receiver.received] == ["/hook"]


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.5"], ["169.254.169.254"], ["127.0.0.1"], ["::1"], ["::ffff:10.0.0.1"], ["8.8.8.8", "10.0.0.5"]],
)
def test_a_name_that_leads_inside_is_not_called(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("it connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    caller = HttpWebhookCaller(resolver=Names(addresses))
    assert caller.post("https://hooks.example/", headers=HEADERS, body=b"{}") == (None, INNER)


def test_a_name_that_was_public_when_it_was_submitted_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    def connect(address: tuple[str, int], **_: object) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    names = Names(["203.0.114.7"], ["10.0.0.5"])
    caller = HttpWebhookCaller(resolver=names)
    assert caller.post("https://hooks.example/", headers=HEADERS, body=b"{}")[1] == (
        "The connection to the receiver failed: ConnectionRefusedError."
    )
    assert caller.post("https://hooks.example/", headers=HEADERS, body=b"{}") == (None, INNER)
    assert connected == ["203.0.114.7"]


def test_the_connection_is_made_to_the_address_that_was_looked_at(
    tmp_path: Path, everything_is_public: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the DNS says a moment later; and the certificate is that of the name."""
    server, client = certificate(tmp_path, "hooks.example")
    with receiving(tls=server) as receiver:
        names = Names(["127.0.0.1"], ["10.0.0.5"])
        caller = HttpWebhookCaller(resolver=names, tls=client)
        asked: list[str] = []
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *rest, **more: asked.append(host) or real(host, *rest, **more)
        )
        url = f"https://hooks.example:{receiver.port}/"
        assert caller.post(url, headers=HEADERS, body=b"{}") == (204, None)
    assert names.asked == ["hooks.example"], "once"
    assert set(asked) <= {"127.0.0.1"}, "a name was resolved a second time"
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_the_next_address_is_tried_where_the_first_does_not_answer(tmp_path: Path, everything_is_public: None) -> None:
    server, client = certificate(tmp_path, "hooks.example")
    with receiving(tls=server) as receiver:
        caller = HttpWebhookCaller(resolver=Names(["127.0.0.2", "127.0.0.1"]), tls=client)
        url = f"https://hooks.example:{receiver.port}/"
        assert caller.post(url, headers=HEADERS, body=b"{}") == (204, None)


@pytest.mark.parametrize("name", ["hooks.example", "others.example"])
def test_a_certificate_of_another_name_or_of_nobody_is_refused(
    name: str, tmp_path: Path, everything_is_public: None
) -> None:
    server, client = certificate(tmp_path, name)
    believes = ssl.create_default_context() if name == "hooks.example" else client
    with receiving(tls=server) as receiver:
        caller = HttpWebhookCaller(resolver=Names(["127.0.0.1"]), tls=believes)
        url = f"https://hooks.example:{receiver.port}/"
        status, error = caller.post(url, headers=HEADERS, body=b"{}")
    assert status is None
    assert error is not None
    assert error.startswith("The receiver's certificate is not valid: ")
    assert receiver.received == []


@pytest.mark.parametrize(
    ("first", "drop", "scheme"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n", "http"),
        (b"", b"H", "http"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", "http"),
        (b"\x16\x03\x03\x40\x00", b"\x02", "https"),
    ],
    ids=["headers", "a status line", "nothing but patience", "a handshake"],
)
def test_a_receiver_that_never_ends_is_ended(first: bytes, drop: bytes, scheme: str) -> None:
    with dripping(first, drop) as port:
        caller = HttpWebhookCaller(trusted=frozenset({f"127.0.0.1:{port}"}), timeout_s=0.5)
        began_s = time.monotonic()
        outcome = caller.post(f"{scheme}://127.0.0.1:{port}/", headers=HEADERS, body=b"{}")
    assert outcome == (None, "The receiver did not answer within 0.5 s.")
    assert time.monotonic() - began_s < 3


def test_a_long_answer_is_not_read_to_its_end() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 4096) as port:
        caller = HttpWebhookCaller(trusted=frozenset({f"127.0.0.1:{port}"}), timeout_s=5)
        assert caller.post(f"http://127.0.0.1:{port}/", headers=HEADERS, body=b"{}") == (200, None)


def test_no_connection_no_answer_and_no_name_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    caller = HttpWebhookCaller(trusted=frozenset({"127.0.0.1"}))
    _, refused = caller.post(f"http://127.0.0.1:{port}/", headers=HEADERS, body=b"{}")
    assert refused == "The connection to the receiver failed: ConnectionRefusedError."
    with receiving() as receiver:
        receiver.answer = lambda _: None
        _, broken = caller.post(f"http://127.0.0.1:{receiver.port}/", headers=HEADERS, body=b"{}")
    assert broken == "The connection to the receiver failed: RemoteDisconnected."

    def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    _, nameless = HttpWebhookCaller(resolver=nobody).post("https://hooks.example/", headers=HEADERS, body=b"{}")
    assert nameless == "The receiver's host has no address."


def test_what_may_not_be_called_by_its_text_is_not_resolved() -> None:
    names = Names(["8.8.8.8"])
    caller = HttpWebhookCaller(resolver=names)
    status, error = caller.post("http://hooks.example/", headers=HEADERS, body=b"{}")
    assert status is None
    assert error is not None
    assert "must begin with https://" in error
    assert names.asked == []


def test_the_systems_resolver_gives_each_address_once() -> None:
    assert resolve("127.0.0.1", 443) == ["127.0.0.1"]
