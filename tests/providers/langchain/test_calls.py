"""What Runnables are given: messages, options, tools, or the one text that a chain takes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableField,
    RunnableLambda,
    RunnablePassthrough,
)
from tests.providers.langchain.runnables import LOOK, PICTURE, asked, run, scripted
from typing_extensions import TypedDict

from tailrace.errors import RequestError
from tailrace.requests import (
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    ToolCall,
    ToolResult,
    user_message,
)


async def test_messages() -> None:
    """A conversation with an image, a tool call and its result arrives as LangChain's messages."""
    model = scripted(AIMessageChunk(content="ok"))
    call = Message(role="assistant", parts=(Reasoning(text="hm"), ToolCall(id="a", name="look", arguments='{"q":"x"}')))
    result = Message(role="tool", parts=(ToolResult(id="a", content=(Text(text="no"),), is_error=True),))
    picture = Message(role="user", parts=(Text(text="see"), PICTURE))
    system = Message(role="system", parts=(Text(text="be kind"),))
    await run(model, asked(system, picture, call, result))
    told, seen, said, gave = model.asked[0][0]
    assert isinstance(told, SystemMessage)
    assert told.content == "be kind"
    assert isinstance(seen, HumanMessage)
    assert seen.content == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
    ]
    assert isinstance(said, AIMessage)
    assert said.tool_calls == [{"name": "look", "args": {"q": "x"}, "id": "a", "type": "tool_call"}]
    assert isinstance(gave, ToolMessage)
    assert (gave.content, gave.tool_call_id, gave.status) == ("no", "a", "error")


async def test_options_and_tools() -> None:
    """Options go to a chat model as keyword arguments, tools through `bind_tools`, also of a model that is bound."""
    model = scripted(AIMessageChunk(content="ok"))
    request = asked(
        model="gpt-x", max_tokens=5, temperature=0.0, top_p=0.5, stop=("END",), tools=(LOOK,), tool_choice="required"
    )
    await run(model.bind(seed=7), request)
    _, options = model.asked[0]
    assert {key: options[key] for key in ("model", "max_tokens", "temperature", "top_p", "stop", "seed")} == {
        "model": "gpt-x",
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 7,
    }
    assert options["tool_choice"] == "any"
    assert options["tools"][0]["function"]["name"] == "look"


async def test_nothing_said_nothing_passed() -> None:
    """What the request leaves open is left to the model as it was configured; "none" binds no tools."""
    model = scripted(AIMessageChunk(content="ok"))
    await run(model, asked(model="runnable", tools=(LOOK,), tool_choice="none"))
    assert model.asked[0][1] == {"stop": None}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"response_format": ResponseFormat()}, "response_format"),
        ({"seed": 1}, "seed"),
        ({"seed": 0}, "seed"),
        ({"extra": {"logit_bias": {"1": 1}}}, "logit_bias"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": (LOOK,)}, "tools"),
    ],
)
async def test_unsupported_by_a_chat_model(fields: dict[str, Any], field: str) -> None:
    """What can't be asked of the model is refused, naming the field; never left out in silence."""
    with pytest.raises(RequestError) as caught:
        await run(FakeListChatModel(responses=["hey"]), asked(**fields))
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "unsupported", field)


@pytest.mark.parametrize("field", ["max_tokens", "temperature", "top_p", "stop", "tools"])
async def test_unsupported_by_a_chain(field: str) -> None:
    """A chain that declares no configurable fields can't be given options or tools."""
    value: dict[str, Any] = {"max_tokens": 5, "temperature": 1.0, "top_p": 1.0, "stop": ("x",), "tools": (LOOK,)}
    with pytest.raises(RequestError) as caught:
        await run(RunnableLambda(lambda _: "hi"), asked(**{field: value[field]}))
    assert (caught.value.code, caught.value.field) == ("unsupported", field)


async def test_a_chain_is_one_model() -> None:
    """Another model's name is 404 for a chain."""
    with pytest.raises(RequestError) as caught:
        await run(RunnableLambda(lambda _: "hi"), asked(model="gpt-x"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_configurable_fields() -> None:
    """A chain that declares a configurable field of an option's name gets it."""
    chain = FakeListChatModel(responses=["hey"]).configurable_fields(responses=ConfigurableField(id="stop"))
    heard, _ = await run(ChatPromptTemplate.from_template("{topic}") | chain, asked(stop=("configured",)))
    assert heard.text == "configured"


async def test_image_by_address() -> None:
    """An image that this machine might have to fetch is refused."""
    picture = Message(role="user", parts=(Image(url="http://127.0.0.1/secret"),))
    with pytest.raises(RequestError, match="not as a URL"):
        await run(scripted(AIMessageChunk(content="ok")), asked(picture))


async def test_arguments_that_are_no_object() -> None:
    """A tool call in the history whose arguments are not a JSON object is refused with its place."""
    call = Message(role="assistant", parts=(ToolCall(id="a", name="look", arguments="[1"),))
    with pytest.raises(RequestError, match="must be a JSON object") as caught:
        await run(scripted(AIMessageChunk(content="ok")), asked(user_message("hi"), call))
    assert caught.value.field == "messages[1]"


class _Question(TypedDict):
    question: str


class _State(TypedDict):
    messages: list[Any]


def _by_text(text: str) -> str:
    return f"text {text}"


def _by_question(fields: _Question) -> str:
    return f"question {fields['question']}"


def _by_dict(fields: dict[str, Any]) -> str:
    return f"dict {fields}"


def _by_state(state: _State) -> str:
    return f"{len(state['messages'])} messages"


def _by_messages(messages: list[BaseMessage]) -> str:
    return f"list of {len(messages)}"


def _of_prompt(prompt: Any) -> str:
    return " / ".join(f"{message.type} {message.content}" for message in prompt.to_messages())


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (RunnableLambda(_by_text), "text again"),
        (RunnableLambda(_by_question).with_types(input_type=_Question), "question again"),
        (RunnableLambda(_by_dict), "dict {'input': 'again'}"),
        (RunnableLambda(_by_state).with_types(input_type=_State), "3 messages"),
        (RunnableLambda(_by_messages), "list of 3"),
        (RunnableLambda(lambda anything: f"{len(anything)} of anything"), "3 of anything"),
        (ChatPromptTemplate.from_template("about {topic}") | _of_prompt, "human about again"),
        ({"q": RunnablePassthrough()} | ChatPromptTemplate.from_template("<{q}>") | _of_prompt, "human <again>"),
        (
            ChatPromptTemplate.from_messages([MessagesPlaceholder("past", optional=True), ("user", "{q}")])
            | _of_prompt,
            "human hello / ai hi / human again",
        ),
        (
            ChatPromptTemplate.from_messages([MessagesPlaceholder("all")]) | _of_prompt,
            "human hello / ai hi / human again",
        ),
    ],
)
async def test_inputs(target: Any, answer: str) -> None:
    """A Runnable gets what its input schema asks for: text, an object with text or messages, or the messages."""
    history = Message(role="assistant", parts=(Text(text="hi"),))
    heard, _ = await run(target, asked(user_message("hello"), history, user_message("again")))
    assert heard.text == answer


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (Message(role="system", parts=(Text(text="be kind"),)), "there is none"),
        (Message(role="user", parts=(PICTURE,)), "there is an image"),
    ],
)
async def test_text_that_is_not_there(message: Message, told: str) -> None:
    """A chain of text alone refuses a request without a user's text, or with an image in it."""
    with pytest.raises(RequestError, match=told):
        await run(RunnableLambda(_by_text), asked(message))
