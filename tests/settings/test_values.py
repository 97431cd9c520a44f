"""How values are written."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings.loading import loaded

from tailrace.settings import (
    load,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1", 1), ("1.5", 1.5), ("250ms", 0.25), ("90s", 90), ("2 m", 120), ("1h", 3600), ("30d", 2592000), ("1H", 3600)],
)
def test_durations(folder: Path, written: str, expected: float) -> None:
    """A time is seconds, or a number with its unit."""
    assert math.isclose(loaded(folder, f"[stream]\nidle_s = '{written}'").stream.idle_s, expected)


@pytest.mark.parametrize(
    ("written", "expected"), [("1", 1), ("2b", 2), ("1.5 kb", 1500), ("32MiB", 2**25), ("1gb", 10**9), ("1GiB", 2**30)]
)
def test_sizes(folder: Path, written: str, expected: int) -> None:
    """A size is bytes, or a number with its unit, of 1000s or 1024s."""
    assert loaded(folder, f"[server]\nmax_body = '{written}'").server.max_body == expected


@pytest.mark.parametrize(
    ("written", "expected"), [("cancel", "cancel"), ("continue", "continue"), ("0", 0.0), ("10s", 10.0)]
)
def test_on_disconnect(folder: Path, written: str, expected: object) -> None:
    """The policy is a word, or seconds of grace."""
    assert loaded(folder, environ={"TAILRACE_ON_DISCONNECT": written}).on_disconnect == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("example.com", "http://example.com:11434"),
        ("example.com:1", "http://example.com:1"),
        (":1", "http://127.0.0.1:1"),
        ("http://example.com", "http://example.com:80"),
        ("https://example.com", "https://example.com:443"),
        ("https://example.com:1/", "https://example.com:1"),
        ("example.com/", "http://example.com:11434"),
        ("example.com/sub/", "http://example.com:11434/sub"),
        ("https://example.com/sub", "https://example.com:443/sub"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:1", "http://127.0.0.1:1"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1", "http://[::1]:1"),
        ("[::]", "http://[::1]:11434"),
        (" 'example.com' ", "http://example.com:11434"),
    ],
)
def test_ollama_host(folder: Path, written: str, expected: str) -> None:
    """OLLAMA_HOST is read as Ollama's own clients read it."""
    ollama = loaded(folder, environ={"OLLAMA_HOST": written}).providers["ollama"]
    assert ollama.url == expected
    assert ollama.on


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_is_an_ollama_host(
    tmp_path_factory: pytest.TempPathFactory, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    """An address with a port is that address and port."""
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    url = load({}, {"OLLAMA_HOST": f"{host}:{port}"}, tmp_path_factory.mktemp("ip")).providers["ollama"].url
    assert urlsplit(url or "").port == port
