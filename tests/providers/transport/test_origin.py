"""Base URLs: what is read out of them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.providers.transport.origin import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "netloc", "shown"),
    [
        ("http://a", Origin(scheme="http", host="a", port=80), "a", "a:80"),
        ("https://A.b:8443/v1/", Origin(scheme="https", host="a.b", port=8443, prefix="/v1"), "a.b:8443", "a.b:8443"),
        ("https://a:443/", Origin(scheme="https", host="a", port=443), "a", "a:443"),
        ("http://[::1]:11434", Origin(scheme="http", host="::1", port=11434), "[::1]:11434", "[::1]:11434"),
        ("HTTP://bücher.example", Origin(scheme="http", host="xn--bcher-kva.example", port=80), None, None),
    ],
)
def test_parts(url: str, origin: Origin, netloc: str | None, shown: str | None) -> None:
    """Scheme, host, port and path are read, with what a Host header and a message call it."""
    parsed = parse_origin(url)
    assert parsed == origin
    if netloc is not None:
        assert (parsed.netloc, str(parsed)) == (netloc, shown)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("api.example.com/v1", "http:// or https://"),
        ("ftp://a", "http:// or https://"),
        ("https://", "no host"),
        ("https://canary:canary@a/v1", "user name or password"),
        ("https://canary@a/v1", "user name or password"),
        ("https://a/v1?key=canary", "without ? or #"),
        ("https://a/v1#canary", "without ? or #"),
        ("https://a:99999/", "port"),
        ("https://a:0/", "port"),
        ("https://a:canary/", "port"),
        ("https://a /canary", "spaces or control"),
        ("https://a\n/canary", "spaces or control"),
        ("https://[::1/canary", "not a URL"),
        ("https://a/canär", "percent-encoded"),
        ("https://a..b/canary", "host name"),
    ],
)
def test_refused(url: str, words: str) -> None:
    """What is no base URL is a ValueError that says why, and never quotes what may be a secret."""
    with pytest.raises(ValueError, match=r"^(must|has|is) ") as caught:
        parse_origin(url)
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is either read or a ValueError; what was read needs no further escaping in a request."""
    try:
        origin = parse_origin(f"http://{text}")
    except ValueError:
        return
    assert f"{origin.netloc}{origin.prefix}".isascii()
    assert "\n" not in f"{origin.netloc}{origin.prefix}"
