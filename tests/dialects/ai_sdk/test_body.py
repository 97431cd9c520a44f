"""What `POST /ai-sdk/chat` takes, and what it says of what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.dialects import AI_SDK, Call
from tailrace.errors import RequestError
from tailrace.requests import Image, Message, Reasoning, Text, ToolCall, ToolResult

PIXEL = "data:image/png;base64,aGk="


def user(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"id": "u1", "role": "user", "parts": [told(part) for part in parts or ("Hi",)], **more}


def assistant(*parts: Any) -> dict[str, Any]:
    return {"id": "a1", "role": "assistant", "parts": [told(part) for part in parts]}


def told(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part


def call(state: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool-look", "toolCallId": "c1", "state": state, "input": {"at": "it"}, **more}


def parse(*messages: Any, **more: Any) -> Call:
    """The body as the SDK's transport sends it."""
    body = {"id": "chat-1", "messages": messages, "trigger": "submit-message", **more}
    return AI_SDK.parse(json.dumps(body).encode())


def conversation(*messages: Any) -> list[Message]:
    return list(parse(*messages).request.messages)


def refusal(body: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        AI_SDK.parse(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


STEP = {"type": "step-start"}
LOOK = ToolCall(id="c1", name="look", arguments='{"at":"it"}')


def result(text: str, *, is_error: bool = False) -> Message:
    return Message(role="tool", parts=(ToolResult(id="c1", content=(Text(text=text),), is_error=is_error),))


def said(*parts: Any) -> Message:
    return Message(role="assistant", parts=parts)


# Messages


def test_the_transports_own_body() -> None:
    """What `useChat` sends is a conversation and the name of a chat."""
    parsed = parse(user("Hi", {"type": "file", "mediaType": "image/png", "url": PIXEL, "filename": "a.png"}))
    image = Image(data="aGk=", media_type="image/png")
    assert parsed.request.messages == (Message(role="user", parts=(Text(text="Hi"), image)),)
    assert (parsed.chat_id, parsed.dialect, parsed.stream, parsed.on_disconnect) == ("chat-1", None, None, None)


def test_system_messages() -> None:
    """A system message is its text; `system` in the body comes first."""
    system = {"id": "s", "role": "system", "parts": [told("Be "), STEP, told("brief.")]}
    messages = parse(system, user(), system="Rhyme.").request.messages
    assert [message.text for message in messages] == ["Rhyme.", "Be brief.", "Hi"]
    assert [message.role for message in messages] == ["system", "system", "user"]


def test_images_by_address() -> None:
    """An image's address goes on as it is; the media type may be the family alone."""
    file = {"type": "file", "mediaType": "image", "url": "https://example.org/a.png"}
    assert conversation(user(file)) == [Message(role="user", parts=(Image(url="https://example.org/a.png"),))]


def test_an_answer_of_several_steps() -> None:
    """Each step is what was said, then what its tools gave back; reasoning keeps its vendor's proof."""
    thought = {"type": "reasoning", "text": "Hm.", "providerMetadata": {"anthropic": {"signature": "s"}}}
    other = {"type": "reasoning", "text": "So.", "state": "done"}
    redacted = {"type": "reasoning", "text": "", "providerMetadata": {"anthropic": {"redactedData": "r"}}}
    found = call("output-available", output={"seen": True})
    assert conversation(user(), assistant(STEP, thought, "I look.", found, STEP, other, redacted, "It is there.")) == [
        Message(role="user", parts=(Text(text="Hi"),)),
        said(Reasoning(text="Hm.", signature="s"), Text(text="I look."), LOOK),
        result('{"seen":true}'),
        said(Reasoning(text="So."), Reasoning(text="", redacted="r"), Text(text="It is there.")),
    ]


@pytest.mark.parametrize(
    ("part", "text", "is_error"),
    [
        (call("output-available", output="there"), "there", False),
        (call("output-available", output=None), "null", False),
        (call("output-available", output=[1, "ä"]), '[1,"ä"]', False),
        (call("output-available", output=2**70), str(2**70), False),
        (call("output-error", errorText="no eyes"), "no eyes", True),
        (call("output-denied", approval={"id": "p", "approved": False, "reason": "No!"}), "No!", True),
        (call("output-denied"), "The user denied this call.", True),
        (call("approval-responded", approval={"id": "p", "approved": False}), "The user denied this call.", True),
    ],
)
def test_outputs(part: dict[str, Any], text: str, is_error: bool) -> None:
    """A tool's output is text, or the JSON of it; an error and a denial are marked as errors."""
    assert conversation(user(), assistant(part))[1:] == [said(LOOK), result(text, is_error=is_error)]


def test_dynamic_tools() -> None:
    """A tool of no fixed type has its name in a field; a name may hold a hyphen."""
    dynamic = {**call("output-available", output=""), "type": "dynamic-tool", "toolName": "find"}
    hyphen = {**call("output-available", output=""), "type": "tool-look-up"}
    calls = [message.parts[0] for message in conversation(user(), assistant(dynamic), assistant(hyphen))]
    assert [part.name for part in calls if isinstance(part, ToolCall)] == ["find", "look-up"]


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        (call("output-error", input='{"at":', errorText="e"), '{"INVALID_JSON":"{\\"at\\":"}'),
        (call("output-error", input=None, rawInput={"at": 1}, errorText="e"), '{"at":1}'),
        (call("output-error", input=None, errorText="e"), "{}"),
        (call("output-available", input=None, output=""), "{}"),
    ],
)
def test_inputs(part: dict[str, Any], arguments: str) -> None:
    """A call's arguments are JSON, whatever became of its input."""
    assert conversation(user(), assistant(part))[1].parts == (ToolCall(id="c1", name="look", arguments=arguments),)


def test_what_no_model_sees() -> None:
    """Sources and data are for the user's eyes; a call still being written, or given up unasked, was never made."""
    shown = [
        {"type": "source-url", "sourceId": "1", "url": "https://example.org"},
        {"type": "source-document", "sourceId": "2", "mediaType": "text/plain", "title": "t"},
        {"type": "data-weather", "data": {"sunny": True}},
        {"type": "reasoning", "text": ""},
        call("input-streaming", input={"a": 1}),
        call("approval-requested", approval={"id": "p"}),
    ]
    assert conversation(assistant(*shown, ""), user({"type": "data-x", "data": 1}, "Hi")) == [
        Message(role="user", parts=(Text(text="Hi"),))
    ]


def test_a_user_who_steers() -> None:
    """What a user said between two steps is a turn between them."""
    steering = {"type": "steering-message", "id": "s", "parts": [told("Faster!")]}
    assert conversation(user(), assistant("Well", steering, "now"))[1:] == [
        said(Text(text="Well")),
        Message(role="user", parts=(Text(text="Faster!"),)),
        said(Text(text="now")),
    ]


@pytest.mark.parametrize(
    ("messages", "more", "continues"),
    [
        ([user()], {}, False),
        ([user(), assistant("a")], {}, True),
        ([user(), assistant("a")], {"messageId": "a1"}, True),
        ([user(), assistant("a"), user(id="u2")], {"messageId": "a1"}, True),
        ([user(), assistant("a")], {"messageId": "elsewhere"}, True),
        ([user(), assistant("a")], {"trigger": "regenerate-message"}, False),
        ([user()], {"trigger": "regenerate-message", "messageId": "a1"}, False),
        ([user(), assistant("a"), user(id="u2")], {"messageId": "u2"}, False),
    ],
)
def test_an_answer_goes_on_where_the_client_does(messages: list[Any], more: dict[str, Any], continues: bool) -> None:
    """It goes on in the assistant's message that the client named, else in the last one; never in one to replace."""
    assert parse(*messages, **more).dialect == ("ai_sdk_continued" if continues else None)


# Our own fields


def test_own_fields() -> None:
    """The fields of tailrace's own routes may stand beside the messages."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    parsed = parse(
        user(),
        model="simulated",
        max_tokens=5,
        temperature=0,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "look"}},
        session_id="s",
        on_disconnect="continue",
        stream=False,
    )
    request = parsed.request
    assert (request.model, request.max_tokens, request.temperature) == ("simulated", 5, 0)
    assert (request.tools[0].name, request.tool_choice) == ("look", ("tool", "look"))
    assert (parsed.session_id, parsed.on_disconnect, parsed.stream) == ("s", "continue", False)


def test_what_the_sdk_adds_to_its_own_words_is_not_read() -> None:
    """A newer SDK's fields in messages and parts are passed over, for they are its to add."""
    part = {"type": "text", "text": "Hi", "state": "done", "citations": [], "novelty": 1}
    assert conversation(user(part, metadata={"a": 1}, novelty=2)) == [Message(role="user", parts=(Text(text="Hi"),))]


# Refusals


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"id": "chat-1", "messages": list(messages), **more}


FILE = {"type": "file", "mediaType": "image/png", "url": PIXEL}


@pytest.mark.parametrize(
    ("body", "status", "field", "told"),
    [
        (b"{", 400, None, "not JSON"),
        (b"[]", 422, None, "must be a JSON object"),
        ({"id": "c"}, 422, "messages", "Field required"),
        (chat(), 422, "messages", "at least 1 item"),
        (chat(user(), message="Hi"), 422, "message", "did you mean messages?"),
        (chat(user(), webSearch=True), 422, "webSearch", 'unknown field "webSearch"'),
        (chat(user(), maxtokens=1), 422, "maxtokens", "did you mean max_tokens?"),
        (chat(user(), id=""), 422, "id", "at least 1 character"),
        (chat(user(), trigger="resume"), 422, "trigger", "regenerate-message"),
        (chat(user(), after="msg_1"), 422, None, "session_id"),
        (chat({"role": "user", "content": "Hi"}), 422, "messages.0.parts", "Field required"),
        (chat({"role": "tool", "parts": []}), 422, "messages.0.role", "'assistant'"),
        (chat({"role": "user", "parts": []}), 422, "messages.0.parts", "needs a part"),
        (chat({"role": "system", "parts": [FILE]}), 422, "messages.0.parts", "needs a part"),
        (chat(user({"type": "video"})), 422, "messages.0.parts.0", "type is text, file"),
        (chat(user({"type": "text"})), 422, "messages.0.parts.0.text", "Field required"),
        (chat(user({"type": "reasoning-file"})), 422, "messages.0.parts.0", "its provider's own"),
        (chat(user({**FILE, "mediaType": "text/plain"})), 422, "messages.0.parts.0.mediaType", "text or images"),
        (chat(user({**FILE, "url": "data:image/png,hi"})), 422, "messages.0.parts.0.url", "base64"),
        (chat(user({**FILE, "url": "blob:1"})), 422, "messages.0.parts.0.url", "http or https"),
        (chat(user({**FILE, "providerReference": {}})), 422, "messages.0.parts.0.providerReference", "data: URL"),
        (chat(user(), assistant(call("input-available"))), 422, "messages.1.parts.0.state", "has no output"),
        (chat(user(), assistant(call("approval-requested"))), 422, "messages.1.parts.0.state", "has no output"),
        (chat(user(), assistant(call("done"))), 422, "messages.1.parts.0.state", "'output-available'"),
        (
            chat(user(), assistant(call("output-available", providerExecuted=True))),
            422,
            "messages.1.parts.0.providerExecuted",
            "leave the part out",
        ),
        (
            chat(user(), assistant({**call("output-available"), "type": "dynamic-tool"})),
            422,
            "messages.1.parts.0",
            "has no name",
        ),
    ],
)
def test_refusals(body: Any, status: int, field: str | None, told: str) -> None:
    """What can't be taken is refused with its place, and with what would be right."""
    error = refusal(body)
    assert (error.status, error.field) == (status, field)
    assert told in error.message
