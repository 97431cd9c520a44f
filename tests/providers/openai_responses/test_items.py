"""Conversations as input items, and what of them can go back to the vendor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter
from tests.providers.openai_responses.answering import reader
from tests.providers.reading import ask, read_whole, recorded, written

from tailrace.errors import RequestError
from tailrace.generation.parts import parts_of
from tailrace.providers.anthropic.body import write_request as write_to_anthropic
from tailrace.providers.openai_responses.items import write_conversation
from tailrace.providers.signatures import open_openai, seal_openai
from tailrace.requests import Image, Message, Native, Part, Reasoning, Text, ToolCall, ToolResult, user_message

CALL = ToolCall(id="call_1", name="get_weather", arguments='{"city": "Bern"}')
PROOF = seal_openai("rs_1", "gAAAAAB=")
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB="}
PICTURE = Image(url="https://example.com/a.png")


def turn(role: Any, *parts: Part, **fields: Any) -> Message:
    return Message(role=role, parts=parts, **fields)


def items(*turns: Message) -> list[dict[str, Any]]:
    return write_conversation(ask(*turns))[1]


def test_instructions() -> None:
    """The system messages that open a conversation are its instructions; later ones keep their place."""
    system = [turn("system", Text(text=said)) for said in ("One.", "Two.", "Later.")]
    instructions, found = write_conversation(ask(*system[:2], user_message("Hi"), system[2]))
    assert instructions == "One.\n\nTwo."
    assert found == [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Later."}]


def test_instructions_alone() -> None:
    """Where there is nothing but system messages they are the input, for there must be one."""
    assert write_conversation(ask(turn("system", Text(text="Speak.")))) == (
        "",
        [{"role": "system", "content": "Speak."}],
    )


def test_turns() -> None:
    """Each role writes its turn; one of the assistant's that says nothing is left out."""
    assert items(
        user_message("Hi"),
        turn("assistant", Text(text="Hel"), Text(text=""), Text(text="lo")),
        turn("user"),
        turn("assistant"),
        turn("user", Text(text="a"), Text(text="b")),
    ) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
    ]


def test_images() -> None:
    """Images are `input_image` parts: base64 in a data URL, a URL as it is, with the detail that was asked for."""
    low = Image(data="QUJD", media_type="image/png", detail="low")
    assert items(turn("user", Text(text="See"), low, PICTURE))[0]["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
    ]


def test_tools_in_turns() -> None:
    """Calls stand where they were made, and each result is an item of its own, before what the user says beside it."""
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Bern"}'}
    assert items(
        user_message("Hi"),
        turn("assistant", Text(text="Let me see."), CALL, ToolCall(id="call_2", name="get_time", arguments="")),
        turn("tool", ToolResult(id="call_1", content=(Text(text="mild"), Text(text=", 12 °C")))),
        turn("user", Text(text="And?"), ToolResult(id="call_2", content=(Text(text="lost"),), is_error=True)),
    )[1:] == [
        {"role": "assistant", "content": "Let me see."},
        call,
        {"type": "function_call", "call_id": "call_2", "name": "get_time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "mild, 12 °C"},
        {"type": "function_call_output", "call_id": "call_2", "output": "Error: lost"},
        {"role": "user", "content": "And?"},
    ]


def test_images_from_tools() -> None:
    """A tool may answer with images, marked where it is an error."""
    result = ToolResult(id="call_1", content=(Text(text="see"), PICTURE), is_error=True)
    assert items(turn("assistant", CALL), turn("tool", result))[1]["output"] == [
        {"type": "input_text", "text": "Error: "},
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
    ]


def test_reasoning_goes_back() -> None:
    """Reasoning goes back before what came of it, with its id, its summary and its encrypted content."""
    told = {**SEALED, "summary": [{"type": "summary_text", "text": "Hm."}]}
    turns = items(turn("assistant", Reasoning(text="Hm.", signature=PROOF), CALL, Reasoning(text="", signature=PROOF),
                       Text(text="Mild.")))  # fmt: skip
    assert [item.get("type", "message") for item in turns] == ["reasoning", "function_call", "reasoning", "message"]
    assert (turns[0], turns[2]) == (told, SEALED)


def test_reasoning_of_a_client_that_has_it_from_openai() -> None:
    """Encrypted content without our mark goes back as it is, without the id that is not known."""
    sealed = items(turn("assistant", Reasoning(text="", signature="gAAAAAB="), CALL))[0]
    assert sealed == {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB="}


@pytest.mark.parametrize("signature", [None, "", "EqQBCkYIBxgCKkDx", "openrouter:x:y"])
def test_reasoning_of_others(signature: str | None) -> None:
    """Reasoning without a proof, or with another vendor's, would be refused, and stays away."""
    assert items(turn("assistant", Reasoning(text="Hm.", signature=signature), Text(text="x"))) == [
        {"role": "assistant", "content": "x"}
    ]


def test_reasoning_stays_with_its_vendor() -> None:
    """What this API has signed is not handed to Anthropic, which would refuse it."""
    thought = turn("assistant", Reasoning(text="Hm.", signature=PROOF), Text(text="x"))
    body = written(write_to_anthropic(ask(user_message("Hi"), thought), default_max_tokens=9))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    "after", [(), (user_message("y"),), (turn("tool", ToolResult(id="call_0", content=())), turn("assistant", CALL))]
)
def test_reasoning_without_a_result(after: tuple[Message, ...]) -> None:
    """Reasoning that nothing came of, as in an answer that was broken off, would be refused, and stays away."""
    found = items(turn("assistant", Text(text="x"), Reasoning(text="", signature=PROOF)), *after)
    assert found[0] == {"role": "assistant", "content": "x"}
    assert SEALED not in found


def test_reasoning_in_a_message_of_its_own() -> None:
    """What came of the reasoning may stand in the next message of the assistant's."""
    found = items(turn("assistant", Reasoning(text="", signature=PROOF)), turn("assistant"), turn("assistant", CALL))
    assert [item["type"] for item in found] == ["reasoning", "function_call"]


def test_an_answer_goes_back() -> None:
    """What a recorded answer said goes back, through the parts that a session keeps, as the items that it came in."""
    events = read_whole(reader, recorded("openai_responses_tools.sse")).events
    found = items(turn("assistant", *parts_of(events)))
    assert found[0]["id"] == "rs_0a1b2c3d4e5f"
    assert found[0]["encrypted_content"] == "gAAAAABwhole_and-sealed=="
    assert found[0]["summary"] == [{"type": "summary_text", "text": "**Two places**\n\nAsk for both.\n\n**Then**"}]
    assert [(item["name"], item["arguments"]) for item in found[1:]] == [
        ("get_weather", '{"city":"Bern"}'),
        ("get_time", '{"zone":"CET"}'),
    ]


def test_the_sdks_types() -> None:
    """Every kind of item fits the types of OpenAI's own SDK."""
    found = items(
        turn("user", Text(text="See"), PICTURE),
        turn("assistant", Reasoning(text="Hm.", signature=PROOF), Text(text="x"), CALL),
        turn("tool", ToolResult(id="call_1", content=(Text(text="y"), PICTURE))),
        turn("system", Text(text="z")),
    )
    item_type: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)
    for item in found:
        item_type.validate_python(item)


def test_a_clients_own_words() -> None:
    """What a client of this format said beside tailrace's words goes up as it was said; another format's does not."""
    own, foreign = (Native(format=name, hints={"x": 1}) for name in ("openai_responses", "anthropic"))
    assert items(
        turn("user", Text(text="a", native=own), PICTURE, own, foreign),
        turn("assistant", Text(text="b", native=own), foreign, Text(text="c"), own),
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a", "x": 1},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
                {"x": 1},
            ],
        },
        {"role": "assistant", "content": "b", "x": 1},
        {"role": "assistant", "content": "c"},
        {"x": 1},
    ]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (turn("system", PICTURE), "messages.1"),
        (turn("assistant", PICTURE), "messages.1"),
        (turn("user", CALL), "messages.1"),
        (turn("user", Reasoning(text="Hm.")), "messages.1"),
        (turn("tool", Text(text="x")), "messages.1"),
        (turn("system", ToolResult(id="a", content=())), "messages.1"),
        (turn("user", Text(text="x"), name="Ann"), "messages.1.name"),
    ],
)
def test_impossible(message: Message, field: str) -> None:
    """A part that a turn of this role can't have, or a speaker's name, is refused with its place, not left out."""
    with pytest.raises(RequestError) as caught:
        items(user_message("Hi"), message)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


def test_impossible_instructions() -> None:
    """So are those of a system message that opens the conversation."""
    with pytest.raises(RequestError) as caught:
        items(turn("system", PICTURE), user_message("Hi"))
    assert caught.value.field == "messages.0"


@pytest.mark.parametrize("image", [Image(), Image(data="QUJD")])
def test_incomplete_image(image: Image) -> None:
    """An image with neither data nor URL, or data of no type, is refused with what would be right."""
    with pytest.raises(RequestError, match=r"media_type|url") as caught:
        items(turn("user", image))
    assert (caught.value.status, caught.value.code) == (400, "invalid")


@given(item=st.text(), encrypted=st.text(st.characters(exclude_characters=":")))
def test_seal(item: str, encrypted: str) -> None:
    """Whatever the id, both come out as they went in."""
    assert open_openai(seal_openai(item, encrypted)) == (item, encrypted)
