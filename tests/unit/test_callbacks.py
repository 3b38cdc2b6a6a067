"""Which callbacks may be called, by their text and by their addresses."""

import pytest

from asr_queue.domain.callbacks import is_public, parse_callback
from asr_queue.errors import CallerError


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/hook",
        "//a.example/hook",
        "http://a.example/hook",
        "ftp://a.example/hook",
        "file:///etc/passwd",
        "https:///hook",
        "https://user:password@a.example/",
        "https://a.example@127.0.0.1/",
        "https://a.example\\@127.0.0.1/",
        "https://a.example/#fragment",
        "https://a.example/a b",
        "https://a.example/\r\nX-Evil: 1",
        "https://ä.example/",
        "https://①②⑦.⓪.⓪.①/",
        "https://a.example:99999/",
        "https://a.example:22/",
        "https://a.example:0/",
        "https://a..example/",
        "https://-a.example/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://printer/",
        "https://printer.local/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f.0x1/",
        "https://2130706433/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.170.2/v2/credentials/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00:ec2::254]/latest/meta-data/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
    ],
)
def test_what_leads_inside_or_nowhere_is_refused_by_its_text(url: str) -> None:
    with pytest.raises(CallerError, match="callback_url cannot be called") as refused:
        parse_callback(url)
    assert (refused.value.code, refused.value.http_status) == ("callback_not_allowed", 422)
    assert "password" not in refused.value.message.replace("a password", "")


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://a.example", "a.example", 443, "/", "a.example"),
        ("HTTPS://Hooks.A.Example./p%20q?x=1&y=%23", "hooks.a.example", 443, "/p%20q?x=1&y=%23", "hooks.a.example"),
        ("https://a.example:8443/?q", "a.example", 8443, "/?q", "a.example:8443"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        ("https://[2606:4700::1111]:8443/", "2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
    ],
)
def test_what_is_public_by_its_text_is_taken_apart(url: str, host: str, port: int, target: str, authority: str) -> None:
    callback = parse_callback(url)
    assert (callback.host, callback.port, callback.target) == (host, port, target)
    assert callback.authority == authority
    assert callback.is_tls
    assert not callback.is_trusted


def test_a_host_that_a_setting_names_may_be_anywhere_and_without_tls() -> None:
    trusted = {"127.0.0.1:8080", "hooks.internal", "::1"}
    for url in ("http://127.0.0.1:8080/", "https://hooks.internal/", "http://HOOKS.internal:81/", "http://[::1]:1/"):
        assert parse_callback(url, trusted=trusted).is_trusted
    for url in ("http://127.0.0.1:8081/", "http://127.0.0.1/", "https://other.internal/", "http://a.example/"):
        with pytest.raises(CallerError):
            parse_callback(url, trusted=trusted)
    with pytest.raises(CallerError, match="user or a password"):
        parse_callback("http://u@127.0.0.1:8080/", trusted=trusted)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:a00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "no address",
        "",
    ],
)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)
