"""The `token` format, byte for byte."""

from __future__ import annotations

from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import TOKEN
from tailrace.events import TextDelta

WHOLE_STREAM = """\
id: ID.2
event: reasoning
data: {"token":"","reasoning":"Hm.","done":false}

id: ID.3
event: reasoning
data: {"token":"","reasoning":"","done":false}

id: ID.4
event: token
data: {"token":"Hel","done":false}

id: ID.5
event: token
data: {"token":"lo \\"you\\"\\n","done":false}

id: ID.7
event: token
data: {"token":"No.","done":false}

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
data: {"token":"","done":true,"finish_reason":"tool_calls"}

"""

BROKEN_STREAM = """\
id: ID.2
event: token
data: {"token":"Hel","done":false}

id: ID.3
event: usage
data: {"input_tokens":11,"output_tokens":1,"source":"counted"}

id: ID.4
event: error
data: {"error":"upstream_cut","message":"the upstream broke off","code":"upstream_cut","done":true}

"""


def test_whole_answer() -> None:
    """Each kind of event has its frame, the usage stands before the end, and `done` is the last."""
    assert encode_all(TOKEN, WHOLE) == WHOLE_STREAM.replace("ID", STREAM_ID).encode()


def test_failure() -> None:
    """A failure is one `error` frame with its code, and no finish reason follows; what was used is still said."""
    assert encode_all(TOKEN, BROKEN) == BROKEN_STREAM.replace("ID", STREAM_ID).encode()


def test_joined_entries() -> None:
    """A frame of joined entries has the last one's id."""
    frame = TOKEN.encoder("gen_x").encode(7, TextDelta(text="abc"), 3)
    assert frame == b'id: gen_x.7\nevent: token\ndata: {"token":"abc","done":false}\n\n'
