"""The `raw` format, byte for byte."""

from __future__ import annotations

import pytest
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import RAW
from tailrace.events import Failed, RefusalDelta, TextDelta

WHOLE_STREAM = """\
id: ID.2
event: reasoning
data: {"token":"","reasoning":"Hm.","done":false}

id: ID.3
event: reasoning
data: {"token":"","reasoning":"","done":false}

id: ID.4
event: token
data: Hel

id: ID.5
event: token
data: lo "you"
data:\x20

id: ID.7
event: token
data: No.

id: ID.8
event: tool_call
data: {"token":"","tool_call":{"index":0,"id":"call_1","name":"look","arguments":""},"done":false}

id: ID.9
event: tool_call
data: {"token":"","tool_call":{"index":0,"arguments":"{\\"at\\":"},"done":false}

id: ID.10
event: tool_call
data: {"token":"","tool_call":{"index":0,"arguments":"\\"it\\"}"},"done":false}

id: ID.11
event: usage
data: {"input_tokens":11,"output_tokens":42,"reasoning_tokens":7,"source":"reported"}

id: ID.12
event: done
data: tool_calls

"""

BROKEN_STREAM = """\
id: ID.2
event: token
data: Hel

id: ID.3
event: usage
data: {"input_tokens":11,"output_tokens":1,"source":"counted"}

id: ID.4
event: error
data: the upstream broke off

"""


def test_whole_answer() -> None:
    """Text is the data itself, and `done` brings the finish reason."""
    assert encode_all(RAW, WHOLE) == WHOLE_STREAM.replace("ID", STREAM_ID).encode()


def test_failure() -> None:
    """A failure is one `error` frame with its message, and no finish reason follows."""
    assert encode_all(RAW, BROKEN) == BROKEN_STREAM.replace("ID", STREAM_ID).encode()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b"data: "),
        (" a ", b"data:  a "),
        ("a\nb", b"data: a\ndata: b"),
        ("\n\n", b"data: \ndata: \ndata: "),
        ("a\rb", b"data: a\ndata: b"),
        ("a\r\nb", b"data: a\ndata: \ndata: b"),
        ("data: x\n\nid: 1", b"data: data: x\ndata: \ndata: id: 1"),
        ("\0\u2028\u0085\ufeff", "data: \0\u2028\u0085\ufeff".encode()),
        ("\ud800a\udfff", "data: \ufffda\ufffd".encode()),
    ],
)
def test_text_as_data(text: str, data: bytes) -> None:
    """Line ends of any kind begin another `data` line, a lone surrogate is U+FFFD, all else is as it was."""
    assert RAW.encoder("gen_x").encode(1, TextDelta(text=text)) == b"id: gen_x.1\nevent: token\n%b\n\n" % data
    assert RAW.encoder("gen_x").encode(1, RefusalDelta(text=text)) == b"id: gen_x.1\nevent: token\n%b\n\n" % data
    failed = Failed(code="internal", message=text)
    assert RAW.encoder("gen_x").encode(1, failed) == b"id: gen_x.1\nevent: error\n%b\n\n" % data
