"""Which addresses may be told of a batch's end: none that lead back inside.

Whoever submits a batch chooses where the system sends a request from within, so a callback's URL is an attack until
it has been looked at twice: its text when it is submitted, and the addresses of its host at each sending.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from asr_queue.errors import CallerError

NOWHERE: Final[frozenset[str]] = frozenset()
_PORTS: Final = {"https": 443, "http": 80}
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TARGET: Final = re.compile(r"[\x21-\x7e]*")
_LEAST_OTHER_PORT: Final = 1024
_INSIDE: Final = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain", "arpa")
"""Last labels that no public name has; `metadata.google.internal` is one of them."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback's URL, taken apart."""

    is_tls: bool
    host: str
    """In lower case; an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query, as sent."""
    is_trusted: bool
    """Whether a setting names the host: then it may have any address."""

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_tls else "http"] else f"{host}:{self.port}"


def parse_callback(url: str, *, trusted: Set[str] = NOWHERE) -> Callback:
    """Take a callback's URL apart, if by its text it may be one.

    Args:
        url: whatever a client sent.
        trusted: hosts, as `host` or `host:port`, that may be called by http and at private addresses too.

    Raises:
        CallerError: `callback_not_allowed`.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise _refusal(f"it is no URL ({error})") from None
    if parts.scheme not in _PORTS:
        raise _refusal("it must begin with https://")
    if "@" in parts.netloc:
        raise _refusal("a user or a password in it would be kept, and shown; sign in by the signature instead")
    if parts.fragment or not _TARGET.fullmatch(url):
        raise _refusal("it must be ASCII without spaces or a fragment; encode the rest")
    port = _PORTS[parts.scheme] if port is None else port
    is_trusted = not trusted.isdisjoint({host, f"{host}:{port}"})
    if not is_trusted:
        _refuse_inside(parts.scheme, host, port)
    return Callback(
        is_tls=parts.scheme == "https",
        host=host,
        port=port,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        is_trusted=is_trusted,
    )


def is_public(address: str) -> bool:
    """Whether a request to an address leaves for the public internet, and nothing nearer answers it."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not (ip.is_multicast or ip.is_reserved)
    inner = _embedded(ip)
    if inner is not None:
        return is_public(str(inner))
    return ip in _GLOBAL_UNICAST and ip.is_global and ip.teredo is None


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, where a router on the way would go there."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _refuse_inside(scheme: str, host: str, port: int) -> None:
    if scheme != "https":
        raise _refusal("it must begin with https://")
    if port != _PORTS["https"] and port < _LEAST_OTHER_PORT:
        raise _refusal(f"port {port} is some other service's; use 443, or 1024 and above")
    try:
        ip_address(host)
    except ValueError:
        _refuse_name(host)
    else:
        if not is_public(host):
            raise _refusal("its address is not public")


def _refuse_name(host: str) -> None:
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        raise _refusal("its host is no name of the DNS")
    # What ends in a number is an address to a resolver, in forms that ipaddress rightly does not read: 127.1, 0x7f.1.
    is_number = labels[-1].isdigit() or labels[-1].startswith("0x")
    if len(labels) == 1 or is_number or labels[-1] in _INSIDE:
        raise _refusal("its host is not public")


def _refusal(why: str) -> CallerError:
    return CallerError("callback_not_allowed", f"callback_url cannot be called: {why}.")
