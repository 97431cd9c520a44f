"""The `delta` format, byte for byte."""

from __future__ import annotations

from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import DELTA
from tailrace.events import Failed, Finished, RefusalDelta, Started, TextDelta, UsageReported

WHOLE_STREAM = """\
id: ID.2
event: reasoning
data: {"delta":"","reasoning":"Hm.","done":false}

id: ID.3
event: reasoning
data: {"delta":"","reasoning":"","done":false}

id: ID.4
event: message
data: {"delta":"Hel","tokens":1,"model":"gpt-4o","chunk_index":1,"done":false}

id: ID.5
event: message
data: {"delta":"lo \\"you\\"\\n","tokens":1,"model":"gpt-4o","chunk_index":2,"done":false}

id: ID.7
event: message
data: {"delta":"No.","tokens":1,"model":"gpt-4o","chunk_index":3,"done":false}

id: ID.8
event: tool_call
data: {"delta":"","tool_call":{"index":0,"id":"call_1","name":"look","arguments":""},"done":false}

id: ID.9
event: tool_call
data: {"delta":"","tool_call":{"index":0,"arguments":"{\\"at\\":"},"done":false}

id: ID.10
event: tool_call
data: {"delta":"","tool_call":{"index":0,"arguments":"\\"it\\"}"},"done":false}

id: ID.12.1
event: message
data: {"delta":"","tokens":0,"total_tokens":42,"total_chunks":3,"model":"gpt-4o","finish_reason":"tool_calls",\
"usage":{"input_tokens":11,"output_tokens":42,"reasoning_tokens":7,"source":"reported"},"done":true}

id: ID.12
event: message
data: [DONE]

"""

BROKEN_STREAM = """\
id: ID.2
event: message
data: {"delta":"Hel","tokens":1,"model":"gpt-4o","chunk_index":1,"done":false}

id: ID.4
event: error
data: {"message":"the upstream broke off","code":"upstream_cut","partial":true,"done":true}

"""


def test_whole_answer() -> None:
    """Each kind of event has its frame; the last entry has two, the first of them `seq.1`, and [DONE] is the end."""
    assert encode_all(DELTA, WHOLE) == WHOLE_STREAM.replace("ID", STREAM_ID).encode()


def test_failure() -> None:
    """A failure is one `error` frame with its code, and neither a finish reason nor [DONE] follows."""
    assert encode_all(DELTA, BROKEN) == BROKEN_STREAM.replace("ID", STREAM_ID).encode()


def test_failure_before_any_text() -> None:
    """`partial` says whether there is text to be kept."""
    frame = DELTA.encoder("gen_x").encode(1, Failed(code="draining", message="stopping"))
    assert (
        frame
        == b'id: gen_x.1\nevent: error\ndata: {"message":"stopping","code":"draining","partial":false,"done":true}\n\n'
    )


def test_joined_entries_count_for_each() -> None:
    """A frame of five joined entries says five tokens, and the index of the last of them."""
    encoder = DELTA.encoder("gen_x")
    encoder.encode(1, Started(model="m", created_at=0.0))
    encoder.encode(2, TextDelta(text="a"))
    frame = encoder.encode(7, TextDelta(text="bcdef"), 5)
    assert frame == (
        b'id: gen_x.7\nevent: message\ndata: {"delta":"bcdef","tokens":5,"model":"m","chunk_index":6,"done":false}\n\n'
    )
    assert b'"total_chunks":6' in encoder.encode(8, Finished(reason="stop"))


def test_refusals_count_as_text() -> None:
    """The model's words of refusal are shown as text, with their place in the count."""
    encoder = DELTA.encoder("gen_x")
    encoder.encode(1, TextDelta(text="a"))
    assert b'"delta":"b","tokens":1,"model":"","chunk_index":2' in encoder.encode(2, RefusalDelta(text="b"))


def test_unknown_figures_are_left_out() -> None:
    """What nobody counted is null in the total and absent from the usage, never zero."""
    encoder = DELTA.encoder("gen_x")
    encoder.encode(1, UsageReported(source="estimated"))
    frame = encoder.encode(2, Finished(reason="length"))
    assert b'"total_tokens":null' in frame
    assert b'"usage":{"source":"estimated"}' in frame
