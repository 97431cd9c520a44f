"""Reads settings that are addresses: hosts, networks, origins and URLs."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tailrace.settings.secret import SecretUrl
from tailrace.settings.values import Reader, Surroundings, refuse, reveal, text

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


def secret_url(*schemes: str) -> Reader:
    """A reader of URLs with one of these schemes, which may carry a password."""

    def read(value: object, around: Surroundings) -> SecretUrl:
        url = reveal(value, around)
        split = _split(url)
        needs_host = split is not None and split.scheme != "sqlite"
        if split is None or split.scheme not in schemes or (needs_host and not split.hostname):
            raise ValueError(f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return SecretUrl(url)

    return read


def base_url(value: object, around: Surroundings) -> str:
    """An http(s) URL without user, query or fragment; a slash at its end is dropped."""
    url = text(value, around).strip()
    # Looked for in the bare text first: what hides a secret must not be shown as a malformed URL.
    if "@" in re.split(r"[/?#]", url.partition("://")[2] or url)[0]:
        raise ValueError("must hold no user or password: put the key into api_key")
    if re.search(r"[\s?#]", url):
        raise ValueError("must hold no query, fragment or blank")
    split = _split(url)
    if split is None or split.scheme not in ("http", "https") or not split.hostname:
        refuse("a URL such as https://host/v1, with its scheme", url)
    return url.rstrip("/")


def ollama_host(value: object, around: Surroundings) -> str:
    """OLLAMA_HOST as Ollama's own clients read it: host, host:port, :port or a URL.

    A URL without a port has its scheme's, anything else 11434; a server's "any address" means this machine.
    """
    given = text(value, around).strip().strip("\"'")
    scheme, mark, rest = given.partition("://")
    port = {"http": 80, "https": 443}.get(scheme, 11434) if mark else 11434
    authority, _, path = (rest if mark else given).partition("/")
    if authority.count(":") > 1 and "[" not in authority:
        authority = f"[{authority}]"
    split = _split(f"{scheme if mark else 'http'}://{authority}/{path}")
    if split is None or split.scheme not in ("http", "https") or "@" in authority or re.search(r"[\s?#]", given):
        raise ValueError("must be a host such as 127.0.0.1:11434 or https://ollama.example, without user or query")
    return f"{split.scheme}://{_target_host(split.hostname)}:{split.port or port}{split.path.rstrip('/')}"


def host_name(value: object, around: Surroundings) -> str:
    """A host's name or address, without scheme or path."""
    if not isinstance(value, str) or not (_HOST_NAME.fullmatch(value) or _is_ipv6(value)):
        refuse("a host's name or address, such as 127.0.0.1 or api.example", value)
    return value.lower().strip("[]")


def network(value: object, around: Surroundings) -> str:
    """An IP address or a network, such as 10.0.0.0/8."""
    try:
        return str(ipaddress.ip_network(text(value, around), strict=False))
    except ValueError:
        refuse("an IP address or a network such as 10.0.0.0/8", value)


def origin(value: object, around: Surroundings) -> str:
    """A web origin: scheme, host and perhaps a port, such as https://app.example."""
    url = text(value, around)
    split = _split(url)
    if (
        split is None
        or not split.scheme
        or not split.hostname
        or "@" in url
        or url != f"{split.scheme}://{split.netloc}"
    ):
        refuse("an origin such as https://app.example, without a path", value)
    return url.lower()


def _split(url: str) -> SplitResult | None:
    try:
        split = urlsplit(url)
        _ = split.port  # raises where it is no port
    except ValueError:
        return None
    return split


def _is_ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _target_host(host: str | None) -> str:
    match host:
        case None | "" | "0.0.0.0":  # noqa: S104  # read as a target, never listened on
            return "127.0.0.1"
        case "::":
            return "[::1]"
    return f"[{host}]" if ":" in host else host
