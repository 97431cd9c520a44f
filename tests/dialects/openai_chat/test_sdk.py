"""OpenAI's official Python client reads what we write: its own decoding, over a socket, cut anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.answers import BROKEN
from tests.dialects.reading import READERS, STREAM_ID, encode_all

from tailrace.dialects import OPENAI_CHAT, OPENAI_CHAT_USAGE, Call, Dialect, list_models
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.requests import ResponseFormat, Text, Tool, ToolCall, ToolResult

START = Started(model="gpt-4o", created_at=1_700_000_000.0)
USAGE = UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7)
DONE = Finished(reason="stop")
expected = READERS["openai_chat"].expected

PIECES = st.lists(ANY_TEXT, max_size=8)
CALLS = st.lists(st.tuples(ANY_TEXT.filter(bool), ANY_TEXT.filter(bool), PIECES), max_size=3)


class Replay(ThreadingHTTPServer):
    """Answers each request with the same bytes, in chunks of `size`, and keeps the last request's body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ReplayHandler)
        self.answer(b"{}")
        self.received = b""

    def answer(self, body: bytes, *, status: int = 200, media_type: str = "application/json", size: int = 1024) -> None:
        self.body, self.status, self.media_type, self.size = body, status, media_type, size

    def stream(self, dialect: Dialect, events: Sequence[Event], size: int = 1024) -> None:
        self.answer(encode_all(dialect, events), media_type=dialect.media_type, size=size)

    @property
    def call(self) -> Call:
        """What the last request asked for."""
        return OPENAI_CHAT.parse(self.received)


class _ReplayHandler(BaseHTTPRequestHandler):
    server: Replay
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        self.server.received = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.media_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        body, size = self.server.body, self.server.size
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    server = Replay()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(scope="module")
def client(replay: Replay) -> Iterator[OpenAI]:
    url = f"http://127.0.0.1:{replay.server_address[1]}/v1"
    with OpenAI(base_url=url, api_key="tr_test", max_retries=0) as client:
        yield client


def ask(client: OpenAI, **options: Any) -> Iterator[ChatCompletionChunk]:
    """The chunks of a streamed answer."""
    chunks: Iterator[ChatCompletionChunk] = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hi"}], stream=True, **options
    )
    return chunks


def calls_of(calls: list[tuple[str, str, list[str]]]) -> list[Event]:
    """The events of tool calls: id, name and the pieces of the arguments."""
    events: list[Event] = []
    for number, (call_id, name, pieces) in enumerate(calls):
        events.append(ToolCallStarted(call=number, id=call_id, name=name))
        events += [ToolCallDelta(call=number, arguments=piece) for piece in pieces]
    return events


# Answers


@given(texts=PIECES, refusals=PIECES, thoughts=PIECES, calls=CALLS, size=st.integers(1, 400))
def test_round_trip(
    client: OpenAI,
    replay: Replay,
    texts: list[str],
    refusals: list[str],
    thoughts: list[str],
    calls: list[tuple[str, str, list[str]]],
    size: int,
) -> None:
    """Any text, refusal, reasoning and tool arguments come out of the client equal, streamed and whole."""
    events: list[Event] = [
        START,
        *(ReasoningDelta(text=text) for text in thoughts),
        *(TextDelta(text=text) for text in texts),
        *(RefusalDelta(text=text) for text in refusals),
        *calls_of(calls),
        USAGE,
        DONE,
    ]
    replay.stream(OPENAI_CHAT_USAGE, events, size)
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        streamed = stream.get_final_completion()
    replay.answer(OPENAI_CHAT.whole(STREAM_ID, events), size=size)
    whole = client.chat.completions.create(model="m", messages=[])
    for completion in (streamed, whole):
        message = completion.choices[0].message
        assert (message.content or "") == expected("".join(texts))
        assert (message.refusal or "") == expected("".join(refusals))
        assert getattr(message, "reasoning_content", "") == expected("".join(thoughts))
        assert [
            (call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
            if call.type == "function"
        ] == [(expected(call_id), expected(name), expected("".join(pieces))) for call_id, name, pieces in calls]
        assert (message.role, completion.choices[0].finish_reason) == ("assistant", "stop")
        assert completion.usage is not None
        assert completion.usage.total_tokens == 53


def test_usage_only_where_asked(client: OpenAI, replay: Replay) -> None:
    """Without usage every chunk has a choice; with it one more comes, which has none."""
    events: list[Event] = [START, TextDelta(text="Hi"), USAGE, DONE]
    replay.stream(OPENAI_CHAT, events)
    assert [(len(chunk.choices), chunk.usage) for chunk in ask(client)] == [(1, None), (1, None)]
    replay.stream(OPENAI_CHAT_USAGE, events)
    *chunks, last = ask(client, stream_options={"include_usage": True})
    assert [(len(chunk.choices), chunk.usage) for chunk in chunks] == [(1, None), (1, None)]
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (11, 42)


def test_heartbeats(client: OpenAI, replay: Replay) -> None:
    """A heartbeat before, between and after frames is nothing to the client."""
    beat = OPENAI_CHAT.encoder(STREAM_ID).heartbeat
    frames = encode_all(OPENAI_CHAT, [START, TextDelta(text="a"), TextDelta(text="b"), DONE]).split(b"\n\n")[:-1]
    body = beat + b"".join(frame + b"\n\n" + beat for frame in frames)
    replay.answer(body, media_type=OPENAI_CHAT.media_type, size=7)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in ask(client)) == "ab"


# Failures


def test_a_stream_that_fails_raises(client: OpenAI, replay: Replay) -> None:
    """What came before the failure is there, and then the client raises what we said."""
    replay.stream(OPENAI_CHAT, BROKEN)
    chunks = ask(client)
    assert next(chunks).choices[0].delta.content == "Hel"
    with pytest.raises(openai.APIError, match="the upstream broke off") as caught:
        next(chunks)
    assert (caught.value.code, caught.value.type) == ("upstream_cut", "server_error")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_type", openai.BadRequestError),
        (401, "unauthorized", openai.AuthenticationError),
        (403, "model_not_allowed", openai.PermissionDeniedError),
        (404, "model_not_found", openai.NotFoundError),
        (429, "rate_limited", openai.RateLimitError),
        (502, "upstream_error", openai.InternalServerError),
    ],
)
def test_refusals_raise(
    client: OpenAI, replay: Replay, status: int, code: str, error: type[openai.APIStatusError]
) -> None:
    """A refusal and a failure before the first token raise the client's error for the status, with our words."""
    refusal = OPENAI_CHAT.refusal(RequestError(status, code, "No such thing.", field="messages.0"), "req_1")
    failure = OPENAI_CHAT.failure(Failed(code=code, message="No such thing.", status=status), [], "req_1")
    for (media_type, body), param in ((refusal, "messages[0]"), (failure, None)):
        replay.answer(body, status=status, media_type=media_type)
        with pytest.raises(error, match="No such thing") as caught:
            ask(client)
        assert (caught.value.param, bool(caught.value.type), bool(caught.value.code)) == (param, True, True)


# Requests


class City(pydantic.BaseModel):
    """What a structured answer is to be."""

    name: str
    people: int


def test_structured_answers(client: OpenAI, replay: Replay) -> None:
    """The client's parsing helper asks for JSON by its schema, and parses the answer, streamed and whole."""
    events: list[Event] = [START, TextDelta(text='{"name":"Ulm",'), TextDelta(text='"people":128000}'), USAGE, DONE]
    replay.answer(OPENAI_CHAT.whole(STREAM_ID, events))
    whole = client.chat.completions.parse(model="m", messages=[{"role": "user", "content": "?"}], response_format=City)
    wanted = replay.call.request.response_format
    assert isinstance(wanted, ResponseFormat)
    assert (wanted.name, wanted.strict) == ("City", True)
    assert wanted.schema is not None
    assert wanted.schema["properties"].keys() == {"name", "people"}
    replay.stream(OPENAI_CHAT, events)
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "?"}], response_format=City
    ) as stream:
        streamed = stream.get_final_completion()
    assert [found.choices[0].message.parsed for found in (whole, streamed)] == [City(name="Ulm", people=128000)] * 2


def test_tool_results_go_back(client: OpenAI, replay: Replay) -> None:
    """A client that appends our answer to its messages, and the tools' results, is understood."""
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    called = calls_of([("call_1", "look", ['{"at":', "1}"]), ("call_2", "look", ["{}"])])
    replay.answer(OPENAI_CHAT.whole(STREAM_ID, [START, *called, USAGE, Finished(reason="tool_calls")]))
    messages: list[Any] = [{"role": "user", "content": "Look!"}]
    answer = client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
    messages.append(answer)
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps([call.id])} for call in answer.tool_calls or ()
    ]
    client.chat.completions.create(model="m", messages=messages, tools=tools)
    request = replay.call.request
    assert request.tools == (Tool(name="look", parameters={"type": "object"}),)
    assert [message.parts for message in request.messages[1:]] == [
        (
            ToolCall(id="call_1", name="look", arguments='{"at":1}'),
            ToolCall(id="call_2", name="look", arguments="{}"),
        ),
        (ToolResult(id="call_1", content=(Text(text='["call_1"]'),)),),
        (ToolResult(id="call_2", content=(Text(text='["call_2"]'),)),),
    ]


def test_models(client: OpenAI, replay: Replay) -> None:
    """The client lists our models."""
    replay.answer(list_models(["simulated", "openai/gpt-4o"], 1_700_000_000))
    assert [model.id for model in client.models.list()] == ["simulated", "openai/gpt-4o"]
