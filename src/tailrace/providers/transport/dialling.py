"""Making connections: name, address, TLS, each with an error that says which of them failed."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

import aiohappyeyeballs

from tailrace.errors import UpstreamError
from tailrace.providers.transport.connection import Connection
from tailrace.providers.transport.origin import Origin

_NEXT_ADDRESS_S: Final = 0.25
"""After so long without an answer the next address is tried beside the first (RFC 8305)."""


def create_tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities and those in `ca_file`. Raises ValueError if that can't be read."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            message = f"ca_file {ca_file!r} can't be used: {_reason(error)}; expected certificates in PEM"
            raise ValueError(message) from error
    return context


async def dial(origin: Origin, tls: ssl.SSLContext | None, make: Callable[[], Connection]) -> Connection:
    """Connect to the first address of the origin that answers. Raises UpstreamError `upstream_error`."""
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _failure(f"can't resolve {origin.host}", error) from error
    try:
        stream = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
    except OSError as error:
        raise _failure(f"can't connect to {origin}", error) from error
    try:
        _, connection = await loop.create_connection(
            make, sock=stream, ssl=tls, server_hostname=origin.host if tls else None
        )
    except OSError as error:
        raise _failure(f"TLS with {origin} failed", error) from error
    return connection


def _failure(what: str, error: OSError) -> UpstreamError:
    return UpstreamError("upstream_error", f"{what}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").replace("_", " ").lower()
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)  # asyncio's own text repeats the address
