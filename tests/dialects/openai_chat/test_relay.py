"""Chat completions that are handed on from an upstream of the same format: streamed, resumed, and merged to a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from tests.contracts.test_dialects import drain
from tests.dialects.reading import STREAM_ID
from tests.vendor import as_payloads, chat_chunks, names_in, usage_chunk, write_events

from tailrace.dialects import DELTA, OPENAI_CHAT, OPENAI_CHAT_USAGE, TOKEN, Dialect
from tailrace.events import Event, Failed, Finished, Started, TextDelta, UsageReported
from tailrace.providers.framing import BodyFraming
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.sse import Decoder, ServerSentEvent
from tailrace.streamlog import RingLog
from tailrace.web.cursors import parse_place
from tailrace.web.feed import Cursor

TOLD = UsageReported(input_tokens=7, output_tokens=42)
COUNTED = UsageReported(input_tokens=7, output_tokens=42, source="counted")


def read(payloads: list[bytes], *, framing: BodyFraming | None = None) -> list[Event]:
    """The events of an upstream's answer, with its frames."""
    reader = OpenAIReader(model="m", now=0.0, nonce="n", framing=framing)
    reader.keeps_frames = True
    body = payloads[0] if framing else write_events(payloads)
    return [*reader.feed(body), *reader.flush()]


def log_of(
    events: Iterable[Event], *, usage: UsageReported = TOLD, end: Event | None = None, dialect: str = "openai_chat"
) -> RingLog:
    """A log that holds this answer, in the order in which a generation logs it."""
    events = list(events)
    kept = [event for event in events if not isinstance(event, (UsageReported, Started))]
    log = RingLog(STREAM_ID, owner="", dialect=dialect, session_id=None)
    frame = b"" if any(event.frame for event in events) else None
    started = Started(model="gpt-theirs", created_at=1.0, frame=frame)
    log.append([started, *kept, usage, end or Finished(reason="stop")])
    return log


def sent(log: RingLog, dialect: Dialect, *, after: str = f"{STREAM_ID}.0") -> list[ServerSentEvent]:
    """What a reader gets who comes back with this cursor."""
    place = parse_place(after)
    return Decoder().feed(drain(Cursor(log, dialect, after=place.seq, frames=place.frames)))


def data_of(events: Iterable[ServerSentEvent]) -> list[bytes]:
    return [event.data.encode() for event in events]


def whole(events: Iterable[Event], *, usage: UsageReported = TOLD) -> Any:
    log = log_of(events, usage=usage)
    return json.loads(OPENAI_CHAT.relay_whole(STREAM_ID, log.read(0, log.tail)))


def chunk(delta: dict[str, Any], *, index: int = 0, reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "theirs", "choices": [{"index": index, "delta": delta, "finish_reason": reason}], **fields}


# Streams


def test_all_frames_and_our_end() -> None:
    """The client gets the upstream's data to the byte, each frame with an id of ours, and then our `[DONE]`."""
    payloads = as_payloads(chat_chunks())
    events = sent(log_of(read([*payloads, *as_payloads([usage_chunk()])])), OPENAI_CHAT)
    assert data_of(events) == [*payloads, b"[DONE]"]
    places = [parse_place(event.id).seq for event in events]
    assert places == sorted(set(places))
    assert {event.event for event in events} == {"message"}


def test_the_corpus_is_whole() -> None:
    """The corpus has what matters most, so that nobody takes it away unseen."""
    wanted = {"logprobs", "top_logprobs", "service_tier", "system_fingerprint", "audio", "annotations", "obfuscation"}
    assert wanted <= names_in(chat_chunks())


@pytest.mark.parametrize(
    ("dialect", "usage", "ending"),
    [
        (OPENAI_CHAT, TOLD, [b"[DONE]"]),
        (OPENAI_CHAT_USAGE, TOLD, [*as_payloads([usage_chunk()]), b"[DONE]"]),
    ],
)
def test_usage_for_those_who_ask(dialect: Dialect, usage: UsageReported, ending: list[bytes]) -> None:
    """The upstream's chunk of usage reaches the clients that asked for it, and no others."""
    payloads = as_payloads(chat_chunks())
    log = log_of(read([*payloads, *as_payloads([usage_chunk()])]), usage=usage)
    assert data_of(sent(log, dialect)) == [*payloads, *ending]


def test_usage_that_the_upstream_kept_to_itself() -> None:
    """Where the upstream says nothing of usage, who asked for it gets our count before the end."""
    *frames, usage, done = sent(log_of(read(as_payloads(chat_chunks())), usage=COUNTED), OPENAI_CHAT_USAGE)
    assert data_of(frames) == as_payloads(chat_chunks())
    assert json.loads(usage.data)["usage"]["completion_tokens"] == 42
    assert done.data == "[DONE]"
    assert [usage.id.count("."), done.id.count(".")] == [2, 1]


def test_a_failure() -> None:
    """An upstream that breaks off ends in our error and without `[DONE]`."""
    payloads = as_payloads(chat_chunks()[:6])
    failed = Failed(code="upstream_cut", message="it broke off")
    *frames, error = sent(log_of(read(payloads), end=failed), OPENAI_CHAT)
    assert data_of(frames) == payloads
    assert json.loads(error.data)["error"]["message"] == "it broke off"


@pytest.mark.parametrize("dialect", [OPENAI_CHAT, OPENAI_CHAT_USAGE])
def test_resume_after_every_frame(dialect: Dialect) -> None:
    """Whoever comes back after any frame gets exactly the rest of the uncut stream's bytes."""
    log = log_of(read(as_payloads([*chat_chunks(), usage_chunk()])), usage=COUNTED)
    uncut = sent(log, dialect)
    for place, event in enumerate(uncut[:-1], 1):
        assert sent(log, dialect, after=event.id) == uncut[place:]


def test_data_of_several_lines() -> None:
    """Data that came in several lines goes out in several lines."""
    frame = b'{"choices":[{"index":0,\n"delta":{"content":"Hi"}}]}'
    log = log_of([TextDelta(text="Hi", frame=frame)])
    assert data_of(sent(log, OPENAI_CHAT))[0] == frame


def test_nothing_is_joined() -> None:
    """A reader that catches up gets each frame for itself, a reader of another format the text in one."""
    payloads = as_payloads([chunk({"content": str(number)}) for number in range(9)])
    log = log_of(read(payloads))
    assert data_of(sent(log, OPENAI_CHAT))[:-1] == payloads
    assert json.loads(sent(log, DELTA)[0].data)["delta"] == "012345678"


def test_other_formats_show_the_first_choice() -> None:
    """Of several answers a format that has no place for more shows the first, and says what it would of a plain log."""
    chunks = [chunk({"content": f"{index}"}, index=index) for index in (0, 1, 2, 0, 1)]
    log = log_of(read(as_payloads(chunks)))
    said = [json.loads(event.data) for event in sent(log, TOKEN) if event.event == "token"]
    assert "".join(piece["token"] for piece in said) == "00"


def test_an_answer_without_frames() -> None:
    """A log that another format's upstream filled, as after a fallback, is written as ever."""
    log = log_of([TextDelta(text="Hi"), TextDelta(text="!", choice=1)])
    encoder = OPENAI_CHAT.encoder(STREAM_ID)
    written = b"".join(encoder.encode(seq, event) for seq, event in enumerate(log.read(0, log.tail), 1))
    assert drain(Cursor(log, OPENAI_CHAT)) == written


def test_frames_of_another_format() -> None:
    """A log that was asked for in another format holds none of ours: its events are written, never its frames."""
    log = log_of([TextDelta(text="Hi", frame=b"not ours")], dialect="delta")
    assert json.loads(sent(log, OPENAI_CHAT)[0].data)["choices"][0]["delta"]["content"] == "Hi"


# Whole answers


def test_every_field_is_in_the_whole() -> None:
    """A whole answer has all that the chunks had, fields that nobody knows too, and nothing that only pads a stream."""
    chunks = chat_chunks()
    completion = whole(read(as_payloads(chunks)))
    gone = {"obfuscation", "delta"}
    lasting = [{**chunk, "moderation": completion["moderation"]} for chunk in chunks]
    assert names_in(lasting) - gone <= names_in(completion)
    assert not gone & names_in(completion)
    assert completion["object"] == "chat.completion"
    assert (completion["id"], completion["service_tier"]) == ("chatcmpl-theirs", "flex")


def test_three_answers() -> None:
    """Each choice has its own text, log probabilities and reason, in their order."""
    said = [
        {"index": index, "delta": {"content": piece}, "logprobs": {"content": [{"token": piece}], "refusal": None}}
        for piece in ("a", "b")
        for index in (2, 0, 1)
    ]
    ends = [chunk({}, index=index, reason=reason) for index, reason in enumerate(("stop", "length", "tomorrow"))]
    completion = whole(read(as_payloads([*({"choices": [choice]} for choice in said), *ends])))
    assert completion["choices"] == [
        {
            "index": index,
            "message": {"role": "assistant", "content": "ab", "refusal": None},
            "logprobs": {"content": [{"token": "a"}, {"token": "b"}], "refusal": None},
            "finish_reason": reason,
        }
        for index, reason in enumerate(("stop", "length", "tomorrow"))
    ]


def test_tool_calls() -> None:
    """The pieces of calls are put together by their index; vendors' own fields of a call stay."""
    signed = {"extra_content": {"google": {"thought_signature": "s"}}}
    pieces = [
        {"index": 0, "id": "c0", "type": "function", "function": {"name": "look", "arguments": ""}, **signed},
        {"index": 1, "id": "c1", "type": "function", "function": {"name": "see", "arguments": "{"}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "function": {"arguments": "}"}},
    ]
    chunks = [chunk({"content": None, "tool_calls": [piece]}) for piece in pieces]
    message = whole(read(as_payloads([*chunks, chunk({}, reason="tool_calls")])))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "look", "arguments": "{}"}, **signed},
        {"id": "c1", "type": "function", "function": {"name": "see", "arguments": "{}"}},
    ]


def test_calls_that_are_all_number_0() -> None:
    """Servers that number every call 0 tell them apart by their ids."""
    calls = [{"index": 0, "id": f"c{number}", "function": {"name": "f", "arguments": "{}"}} for number in range(2)]
    chunks = [chunk({"tool_calls": [call]}) for call in calls]
    message = whole(read(as_payloads([*chunks, chunk({}, reason="tool_calls")])))["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["c0", "c1"]


def test_content_in_parts() -> None:
    """Mistral's thoughts are parts of the content; the text around them becomes parts too."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    chunks = [chunk({"content": content}) for content in ("", [thought], "So", "!")]
    message = whole(read(as_payloads([*chunks, chunk({}, reason="stop")])))["choices"][0]["message"]
    assert message["content"] == [thought, {"type": "text", "text": "So"}, {"type": "text", "text": "!"}]


def test_the_upstreams_usage() -> None:
    """The whole answer has the usage in the upstream's own words."""
    payloads = as_payloads([*chat_chunks(), usage_chunk()])
    assert whole(read(payloads))["usage"] == usage_chunk()["usage"]


def test_usage_that_nobody_told() -> None:
    """Where the upstream says nothing of usage the whole answer has our count."""
    assert (
        whole(read(as_payloads([chunk({"content": "Hi"}, reason="stop")])), usage=COUNTED)["usage"]["total_tokens"]
        == 49
    )


def test_a_document_stays_as_it_is() -> None:
    """An answer that came as one document goes out as the same document; a stream of it is written by us."""
    message = b'{"content":"Hi","audio":{"data":"x"}}'
    document = b'{ "id":"theirs", "choices":[{"index":0,"message":%b,"finish_reason":"stop"}]}' % message
    log = log_of(read([document], framing=BodyFraming()))
    assert OPENAI_CHAT.relay_whole(STREAM_ID, log.read(0, log.tail)) == document
    frames = sent(log, OPENAI_CHAT)
    assert json.loads(frames[0].data)["choices"][0]["delta"] == {"role": "assistant", "content": "Hi"}
    assert frames[-1].data == "[DONE]"


def test_without_frames_the_whole_is_ours() -> None:
    """An answer of another format's upstream is written as ever."""
    log = log_of([TextDelta(text="Hi")])
    events = log.read(0, log.tail)
    assert OPENAI_CHAT.relay_whole(STREAM_ID, events) == OPENAI_CHAT.whole(STREAM_ID, events)


def test_what_no_json_has() -> None:
    """NaN, which servers are seen to send, does not stop the whole answer."""
    logprobs = b'{"content":[{"logprob":NaN}]}'
    frame = b'{"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":%b,"finish_reason":"stop"}]}' % logprobs
    assert whole(read([frame]))["choices"][0]["logprobs"] == {"content": [{"logprob": None}]}


TEXTS = st.lists(st.tuples(st.integers(0, 2), st.text()), max_size=12)


@given(pieces=TEXTS)
def test_any_text_is_put_together(pieces: list[tuple[int, str]]) -> None:
    """Whatever the pieces, each choice's text is its own joined, and OpenAI's own type reads the whole."""
    chunks = [
        chunk({"role": "assistant", "content": piece}, index=index, created=1, model="m") for index, piece in pieces
    ]
    ends = [chunk({}, index=index, reason="stop", created=1, model="m") for index in range(3)]
    completion = whole(read(as_payloads([*chunks, *ends])))
    parsed = ChatCompletion.model_validate(completion, strict=True)
    for index, choice in enumerate(parsed.choices):
        assert choice.message.content == "".join(piece for place, piece in pieces if place == index)
