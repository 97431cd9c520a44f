"""OpenAI's official Python client reads the responses that we write: its own decoding, over a socket, cut anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import openai
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response
from tests.contracts.test_dialects import ANY_TEXT
from tests.dialects.answers import BROKEN
from tests.dialects.openai_chat.test_sdk import Replay
from tests.dialects.reading import READERS, STREAM_ID

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.dialects.openai_responses import read_response
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
from tailrace.requests import Message, Reasoning, ResponseFormat, Text, ToolCall, ToolResult

START: Final = Started(model="gpt-4o", created_at=1_700_000_000.0)
USAGE: Final = UsageReported(input_tokens=11, output_tokens=42, reasoning_tokens=7)
DONE: Final = Finished(reason="stop")
expected = READERS["openai_responses"].expected

PIECES = st.lists(ANY_TEXT, max_size=6)
NAMES = ANY_TEXT.filter(bool)
# The client takes two calls with one id for a broken stream
CALLS = st.lists(st.tuples(NAMES, NAMES, PIECES), max_size=3, unique_by=lambda call: expected(call[0]))


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


def calls_of(calls: list[tuple[str, str, list[str]]]) -> list[Event]:
    """The events of tool calls: id, name and the pieces of the arguments."""
    events: list[Event] = []
    for number, (call_id, name, pieces) in enumerate(calls):
        events.append(ToolCallStarted(call=number, id=call_id, name=name))
        events += [ToolCallDelta(call=number, arguments=piece) for piece in pieces]
    return events


def said_in(response: Response) -> dict[str, Any]:
    """What a response holds, kind by kind, each put together."""
    said: dict[str, Any] = {"text": response.output_text, "refusal": "", "reasoning": "", "calls": []}
    for item in response.output:
        match item.type:
            case "reasoning":
                said["reasoning"] += "".join(piece.text for piece in item.summary)
            case "function_call":
                said["calls"].append((item.call_id, item.name, item.arguments))
            case "message":
                said["refusal"] += "".join(part.refusal for part in item.content if part.type == "refusal")
    return said


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
    """Any text, refusal, reasoning and arguments come out of the client equal: streamed, put together, and whole."""
    events: list[Event] = [
        START,
        *(ReasoningDelta(text=text) for text in thoughts),
        *(TextDelta(text=text) for text in texts),
        *(RefusalDelta(text=text) for text in refusals),
        *calls_of(calls),
        USAGE,
        DONE,
    ]
    replay.stream(OPENAI_RESPONSES, events, size)
    with client.responses.stream(model="m", input="Hi") as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        streamed = stream.get_final_response()
    replay.answer(OPENAI_RESPONSES.whole(STREAM_ID, events), size=size)
    whole = client.responses.create(model="m", input="Hi")
    assert deltas == expected("".join(texts))
    for response in (streamed, whole):
        assert said_in(response) == {
            "text": expected("".join(texts)),
            "refusal": expected("".join(refusals)),
            "reasoning": expected("".join(thoughts)),
            "calls": [
                (expected(call_id), expected(name), expected("".join(pieces))) for call_id, name, pieces in calls
            ],
        }
        assert response.status == "completed"
        assert response.usage is not None
        assert response.usage.total_tokens == 53


def test_heartbeats(client: OpenAI, replay: Replay) -> None:
    """A heartbeat before, between and after frames is nothing to the client."""
    encoder = OPENAI_RESPONSES.encoder(STREAM_ID)
    events: list[Event] = [START, TextDelta(text="ab"), DONE]
    frames = [encoder.encode(seq, event) for seq, event in enumerate(events, 1)]
    beat = encoder.heartbeat
    replay.answer(beat + beat.join(frames) + beat, media_type=OPENAI_RESPONSES.media_type, size=7)
    stream = client.responses.create(model="m", input="Hi", stream=True)
    assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == "ab"


@pytest.mark.parametrize("helper", [False, True])
def test_a_stream_that_fails_raises(client: OpenAI, replay: Replay, helper: bool) -> None:
    """What came before the failure is there, and then the client raises what we said, its helper too."""
    replay.stream(OPENAI_RESPONSES, BROKEN)
    seen: list[str] = []

    def read() -> None:
        if helper:
            with client.responses.stream(model="m", input="Hi") as stream:
                seen.extend(event.type for event in stream)
        else:
            seen.extend(event.type for event in client.responses.create(model="m", input="Hi", stream=True))

    with pytest.raises(openai.APIError, match="the upstream broke off") as caught:
        read()
    assert (caught.value.code, caught.value.type) == ("upstream_cut", "server_error")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_type", openai.BadRequestError),
        (401, "unauthorized", openai.AuthenticationError),
        (404, "response_not_found", openai.NotFoundError),
        (429, "rate_limited", openai.RateLimitError),
        (502, "upstream_error", openai.InternalServerError),
    ],
)
def test_refusals_raise(
    client: OpenAI, replay: Replay, status: int, code: str, error: type[openai.APIStatusError]
) -> None:
    """A refusal and a failure before the first token raise the client's error for the status, with our words."""
    refusal = OPENAI_RESPONSES.refusal(RequestError(status, code, "No such thing.", field="input.0"), "req_1")
    failure = OPENAI_RESPONSES.failure(Failed(code=code, message="No such thing.", status=status), [], "req_1")
    for (media_type, body), param in ((refusal, "input[0]"), (failure, None)):
        replay.answer(body, status=status, media_type=media_type)
        with pytest.raises(error, match="No such thing") as caught:
            client.responses.create(model="m", input="Hi")
        assert (caught.value.param, bool(caught.value.type), bool(caught.value.code)) == (param, True, True)


class City(pydantic.BaseModel):
    """What a structured answer is to be."""

    name: str
    people: int


def test_structured_answers(client: OpenAI, replay: Replay) -> None:
    """The client's parsing helper asks for JSON by its schema, and parses the answer, streamed and whole."""
    events: list[Event] = [START, TextDelta(text='{"name":"Ulm",'), TextDelta(text='"people":128000}'), USAGE, DONE]
    replay.answer(OPENAI_RESPONSES.whole(STREAM_ID, events))
    whole = client.responses.parse(model="m", input="?", text_format=City)
    wanted = OPENAI_RESPONSES.parse(replay.received).request.response_format
    assert isinstance(wanted, ResponseFormat)
    assert (wanted.name, wanted.strict) == ("City", True)
    assert wanted.schema is not None
    assert wanted.schema["properties"].keys() == {"name", "people"}
    replay.stream(OPENAI_RESPONSES, events)
    with client.responses.stream(model="m", input="?", text_format=City) as stream:
        streamed = stream.get_final_response()
    assert [found.output_parsed for found in (whole, streamed)] == [City(name="Ulm", people=128000)] * 2


def test_the_output_goes_back_in(client: OpenAI, replay: Replay) -> None:
    """A client that appends our output to its input, and its functions' outputs, is understood."""
    thought = [ReasoningDelta(text="Hm."), ReasoningDelta(text="", signature="sig")]
    called = calls_of([("call_1", "look", ['{"at":', "1}"]), ("call_2", "look", ["{}"])])
    events = [START, *thought, TextDelta(text="Wait."), *called, USAGE, Finished(reason="tool_calls")]
    replay.answer(OPENAI_RESPONSES.whole(STREAM_ID, events))
    conversation: list[Any] = [{"role": "user", "content": "Look!"}]
    answer = client.responses.create(model="m", input=conversation, store=False)
    conversation += answer.output
    conversation += [
        {"type": "function_call_output", "call_id": item.call_id, "output": item.arguments}
        for item in answer.output
        if item.type == "function_call"
    ]
    client.responses.create(model="m", input=conversation, store=False)
    told = read_response(replay.received).read_input({})[1:]
    assert tuple(msgspec.structs.replace(message, verbatim=None) for message in told) == (
        Message(
            role="assistant",
            parts=(
                Reasoning(text="Hm.", signature="sig"),
                Text(text="Wait."),
                ToolCall(id="call_1", name="look", arguments='{"at":1}'),
                ToolCall(id="call_2", name="look", arguments="{}"),
            ),
        ),
        Message(role="tool", parts=(ToolResult(id="call_1", content=(Text(text='{"at":1}'),)),)),
        Message(role="tool", parts=(ToolResult(id="call_2", content=(Text(text="{}"),)),)),
    )
