"""The `meta` format, byte for byte."""

from __future__ import annotations

from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import META
from tailrace.events import Finished

WHOLE_STREAM = """\
id: ID.1
data: {"event":"start","model":"gpt-4o","stream_id":"ID"}

id: ID.2
data: {"event":"reasoning","reasoning":"Hm."}

id: ID.3
data: {"event":"reasoning","reasoning":""}

id: ID.4
data: {"event":"token","token":"Hel"}

id: ID.5
data: {"event":"token","token":"lo \\"you\\"\\n"}

id: ID.7
data: {"event":"token","token":"No."}

id: ID.8
data: {"event":"tool_call","tool_call":{"index":0,"id":"call_1","name":"look","arguments":""}}

id: ID.9
data: {"event":"tool_call","tool_call":{"index":0,"arguments":"{\\"at\\":"}}

id: ID.10
data: {"event":"tool_call","tool_call":{"index":0,"arguments":"\\"it\\"}"}}

id: ID.12
data: {"event":"done","tokens":42,"latency_ms":340.0,"ttft_ms":12.5,"finish_reason":"tool_calls"}

"""

BROKEN_STREAM = """\
id: ID.1
data: {"event":"start","model":"gpt-4o","stream_id":"ID"}

id: ID.2
data: {"event":"token","token":"Hel"}

id: ID.4
data: {"event":"error","message":"the upstream broke off","code":"upstream_cut"}

"""


def test_whole_answer() -> None:
    """Every frame is data alone that says what it is, and `done` brings the count and the times."""
    assert encode_all(META, WHOLE) == WHOLE_STREAM.replace("ID", STREAM_ID).encode()


def test_failure() -> None:
    """A failure is one `error` with its code, and no `done` follows."""
    assert encode_all(META, BROKEN) == BROKEN_STREAM.replace("ID", STREAM_ID).encode()


def test_what_is_not_known_is_null() -> None:
    """An answer without a first token or a count says so, instead of zero."""
    frame = META.encoder("gen_x").encode(1, Finished(reason="stop", duration_ms=3.0))
    assert b'"tokens":null,"latency_ms":3.0,"ttft_ms":null' in frame
