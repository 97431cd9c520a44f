"""Whose request it is: the peer's address, or what trusted proxies say of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.auth.asking import request

from tailrace.web.auth import Proxies
from tailrace.web.auth.addresses import UNKNOWN, parse_address

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8"])

CASES: list[tuple[str, str | None, list[str], str]] = [
    ("no proxy", "192.0.2.1", [], "192.0.2.1"),
    ("a stranger's word", "192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
    ("a proxy's word", "10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
    ("a proxy that says nothing", "10.1.2.3", [], "10.1.2.3"),
    ("a client's own word before the proxy's", "10.1.2.3", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
    ("two proxies", "10.1.2.3", ["198.51.100.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
    ("two headers", "10.1.2.3", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
    ("proxies alone", "10.1.2.3", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
    ("nonsense", "10.1.2.3", ["203.0.113.9, nonsense"], "10.1.2.3"),
    ("a port", "10.1.2.3", ["203.0.113.9:4711"], "203.0.113.9"),
    ("IPv6", "fd00::1", ["2001:db8::1"], "2001:db8::1"),
    ("IPv6 with a port", "fd00::1", ["[2001:db8::1]:4711"], "2001:db8::1"),
    ("IPv4 in IPv6", "::ffff:10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
    ("a Unix socket", None, ["203.0.113.9"], UNKNOWN),
]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_client_is_the_nearest_stranger(peer: str | None, forwarded: list[str], address: str) -> None:
    """X-Forwarded-For is read from the right, through trusted proxies only; nobody else's word counts."""
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert PROXIES.client_address(request(headers, client=peer)) == address


def test_without_trusted_proxies_nobodys_word_counts() -> None:
    """By default the peer is the client, also where it is this machine."""
    asked = request({"x-forwarded-for": "203.0.113.9"}, client="127.0.0.1")
    assert Proxies().client_address(asked) == "127.0.0.1"


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_gives_an_address(text: str) -> None:
    """No header makes it fail, and what it gives is an address."""
    assert parse_address(PROXIES.client_address(request({"x-forwarded-for": text}, client="10.0.0.1"))) is not None
