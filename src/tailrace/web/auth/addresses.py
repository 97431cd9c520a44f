"""Which machine a request comes from, and which ones are this machine."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"
"""The address of a client without one, as behind a Unix socket."""


class Proxies:
    """The proxies whose word on who is behind them counts: `[server] trusted_proxies`."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted: Sequence[Network] = [ipaddress.ip_network(network) for network in trusted]

    def client_address(self, request: Request) -> str:
        """The nearest address that is no trusted proxy's.

        Each proxy adds at the right of X-Forwarded-For whom it heard from, so the list is read from there; what
        stands left of the first stranger is that stranger's own word.
        """
        nearest = parse_address(request.client.host) if request.client is not None else None
        if nearest is None:
            return UNKNOWN
        for hop in reversed(_hops(request)):
            if not self._trusts(nearest) or (address := parse_address(hop)) is None:
                break
            nearest = address
        return str(nearest)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def parse_address(text: str) -> Address | None:
    """An IP address, perhaps with a port, an IPv6 one then in brackets; one that wraps an IPv4 address is that one."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_origin(origin: str) -> bool:
    """Whether a web origin is a page of this machine."""
    try:
        return is_loopback((urlsplit(origin).hostname or "").lower())
    except ValueError:
        return False


@functools.lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _hops(request: Request) -> list[str]:
    return ",".join(request.headers.getlist("x-forwarded-for")).split(",")
