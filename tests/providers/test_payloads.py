"""Untidy JSON."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.errors import WireError
from tailrace.providers.payloads import Count, PayloadDecoder


class Shape(msgspec.Struct):
    text: str = ""
    count: Count | None = None
    inner: msgspec.Raw = msgspec.Raw()


SHAPES = PayloadDecoder(Shape, expendable=("count",))


@pytest.mark.parametrize(
    ("payload", "text", "count"),
    [
        (b'{"text":"a","count":3}', "a", 3),
        (b'{"text":"a","count":"3"}', "a", 3),
        (b'{"text":"a","count":3.0}', "a", 3),
        (b'{"text":null,"count":null}', "", None),
        (b'{"text":"a","count":-1}', "a", None),
        (b'{"text":"a","count":{}}', "a", None),
        (b'{"text":"a\\ud83d\\ude00","odd":NaN}', "a😀", None),
        (b'{"text":"a\\ude00"}', "a\ufffd", None),
        (b'{"text":"\xff"}', "\ufffd", None),
        (b'\xef\xbb\xbf{"text":"a"}', "a", None),
    ],
)
def test_reads_what_can_be_read(payload: bytes, text: str, count: int | None) -> None:
    """What servers have been seen to get wrong is forgiven, and an unreadable figure is given up."""
    shape = SHAPES.read(payload)
    assert (shape.text, shape.count) == (text, count)


@pytest.mark.parametrize(
    "payload",
    [b"", b"hello", b"{", b"[]", b'{"text":[]}', b'{"text":' + b"9" * 5000 + b"}", b'{"x":' + b"[" * 50_000],
)
def test_refuses_what_it_cannot(payload: bytes) -> None:
    """All else is a WireError, however odd."""
    with pytest.raises(WireError):
        SHAPES.read(payload)


def test_keeps_raw_json() -> None:
    """A raw field keeps its bytes when the payload is tidy, and its meaning when it is not."""
    assert bytes(SHAPES.read(b'{"inner":{"a": 1.50}}').inner) == b'{"a": 1.50}'
    assert msgspec.json.decode(SHAPES.read(b'{"inner":{"a": 1.50},"odd":NaN}').inner) == {"a": 1.5}
