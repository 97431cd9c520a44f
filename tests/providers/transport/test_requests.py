"""Requests' heads: what is sent, what is refused, and that nothing of one request stays in another's."""

from __future__ import annotations

import pytest

from tailrace.providers.transport.origin import parse_origin
from tailrace.providers.transport.requests import HeadWriter

ORIGIN = parse_origin("http://example.org:8080/base/")


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("POST", b"{}", ["content-length: 2"]), ("POST", None, ["content-length: 0"]), ("GET", None, [])],
)
def test_a_head(method: str, body: bytes | None, length: list[str]) -> None:
    """Host, coding and the given headers, then the length of a body where there may be one."""
    head = HeadWriter(ORIGIN).write(method, "/chat", {"x-one": "1"}, body).decode()
    assert head.removesuffix("\r\n\r\n").split("\r\n") == [
        f"{method} /base/chat HTTP/1.1",
        "host: example.org:8080",
        "accept-encoding: identity",
        "x-one: 1",
        *length,
    ]
    assert head.endswith("\r\n\r\n")


def test_an_own_host() -> None:
    """A host header that is given takes the place of the origin's."""
    head = HeadWriter(ORIGIN).write("GET", "/", {"Host": "other"}, None)
    assert b"Host: other" in head
    assert b"example.org" not in head


def test_heads_do_not_mix() -> None:
    """Each request has its own method, path, headers and length, however many came before and in whatever order."""
    writer = HeadWriter(ORIGIN)
    asked = [("POST", f"/{number}", {"x": str(number), "y": "same"}, b"a" * number) for number in range(40)]
    once = [writer.write(*request) for request in asked]
    again = [writer.write(*request) for request in reversed(asked)]
    assert once == again[::-1] == [HeadWriter(ORIGIN).write(*request) for request in asked]
    assert len(set(once)) == len(asked)


def test_headers_that_change_later() -> None:
    """A mapping that changes between two requests is read anew."""
    writer, headers = HeadWriter(ORIGIN), {"x": "1"}
    first = writer.write("GET", "/", headers, None)
    headers["x"] = "2"
    assert writer.write("GET", "/", headers, None) == first.replace(b"x: 1", b"x: 2")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("HEAD", "/", {}), ("GET ", "/", {}), ("GET", "no-slash", {}), ("GET", "/a b", {}), ("GET", "/\r\n", {}),
        ("GET", "/", {"x": "1\r\nevil: 2"}), ("GET", "/", {"a b": "1"}), ("GET", "/", {"Content-Length": "3"}),
    ],
)  # fmt: skip
def test_what_is_refused(method: str, path: str, headers: dict[str, str]) -> None:
    """What would break the framing is refused each time, also after a request that was none the worse."""
    writer = HeadWriter(ORIGIN)
    writer.write("GET", "/", {}, None)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"method|path|header"):
            writer.write(method, path, headers, None)
