"""The sockets that a server listens on, bound before the app is started so that a port in use is a clear refusal."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from typing import Any, Final

from tailrace.errors import SettingsError

# An address that the host's name has, but this machine does not: IPv6 in most containers.
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Bind a socket for each address of `host`; with port 0 the first gets a free port and the others the same.

    With `shared` others of this user's may bind the same port, and the system spreads the connections over them.

    Raises SettingsError where none can be bound, or one is in use.
    """
    try:
        return _bind_all(host, port, shared=shared)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"can't listen there: {reason}; choose another --host or --port", where=f"{host}:{port}"
        ) from None


def _bind_all(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    absent: OSError | None = None
    bound: list[socket.socket] = []
    with ExitStack() as opened:
        for family, address in _addresses(host, port):
            try:
                chosen = bound[0].getsockname()[1] if bound else port
                bound.append(opened.enter_context(_bind(family, address, chosen, shared=shared)))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if not bound and absent is not None:
            raise absent
        opened.pop_all()
    return bound


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind(family: int, address: Any, port: int, *, shared: bool) -> socket.socket:
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address[0], port, *address[2:]))
        opened.pop_all()
    return listener
