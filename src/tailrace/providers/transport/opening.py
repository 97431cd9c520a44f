"""Choosing the transport that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tailrace.providers.transport.base import Transport
from tailrace.providers.transport.dialling import create_tls_context
from tailrace.providers.transport.origin import parse_origin
from tailrace.providers.transport.pool import PooledTransport

_T = TypeVar("_T")


def create_transport(
    base_url: str,
    *,
    connect_s: float,
    proxy: str | None = None,
    ca_file: str | None = None,
    max_connections: int | None = None,
) -> Transport:
    """A transport for `base_url`, by way of `proxy` if one is given; yet to be opened.

    `base_url` may have a path, to which those of the exchanges are added. `connect_s` bounds connecting, TLS included,
    in seconds. `ca_file` names a PEM file of authorities to trust beside the system's. With `max_connections`, further
    exchanges wait for their turn. Raises ValueError, naming the argument, for what can't be used.
    """
    origin = _named("base_url", parse_origin, base_url)
    tls = create_tls_context(ca_file) if origin.tls else None
    if proxy is None:
        return PooledTransport(origin, connect_s=connect_s, tls=tls, max_connections=max_connections)
    # aiohttp takes longer to import than all the rest, and few have a proxy.
    from tailrace.providers.transport.proxied import ProxiedTransport, parse_proxy

    return ProxiedTransport(
        origin, _named("proxy", parse_proxy, proxy), connect_s=connect_s, tls=tls, max_connections=max_connections
    )


def _named(argument: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{argument} {error}") from None
