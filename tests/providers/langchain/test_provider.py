"""LangChain Runnables as upstreams: what they are given, what is read of them, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from typing_extensions import TypedDict

from tailrace.errors import RequestError, SettingsError, UpstreamError
from tailrace.events import (
    Event,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers.base import Finish
from tailrace.providers.langchain import LangChainProvider
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

LOOK = Tool(name="look", description="Look it up", parameters={"type": "object", "properties": {}})
PICTURE = Image(data="QUJD", media_type="image/png", detail="low")


class Scripted(BaseChatModel):
    """A chat model that streams the given chunks and remembers what it was asked."""

    chunks: list[AIMessageChunk]
    asked: list[tuple[list[BaseMessage], dict[str, Any]]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        raise AssertionError("it should stream")

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append((messages, {"stop": stop, **kwargs}))
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk.model_copy())

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=tools, tool_choice=tool_choice)


class BlockingModel(BaseChatModel):
    """A chat model of the old kind: it can only stream by blocking, and never ends."""

    made: int = 0
    closed: bool = False

    @property
    def _llm_type(self) -> str:
        return "blocking"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("lump"))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        try:
            while True:
                self.made += 1
                time.sleep(0.001)
                yield ChatGenerationChunk(message=AIMessageChunk(content="tick "))
        finally:
            self.closed = True


class BlockingRunnable(Runnable[Any, str]):
    """A hand-written Runnable that has `invoke` and `stream` alone."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:  # noqa: A002
        return "lump"

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        yield from ("one ", "two")


class Heard:
    """A sink that remembers what came."""

    def __init__(self) -> None:
        self.calls: list[list[Event]] = []

    def __call__(self, events: list[Event]) -> None:
        self.calls.append(events)

    @property
    def events(self) -> list[Event]:
        return [event for events in self.calls for event in events]

    @property
    def content(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, Started)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "", "messages": messages or (user_message("hello"),), **fields})


async def opened(target: Any) -> LangChainProvider:
    provider = LangChainProvider(name="lc", target=target)
    await provider.open()
    return provider


async def run(target: Any, request: ChatRequest | None = None) -> tuple[Heard, Finish]:
    heard = Heard()
    return heard, await (await opened(target)).run(request or asked(), heard)


def scripted(*chunks: AIMessageChunk) -> Scripted:
    return Scripted(chunks=list(chunks), asked=[])


async def until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.002)


# What streams


async def test_chat_model() -> None:
    """A chat model's chunks come one by one, `Started` before the first, and a clean end is "stop"."""
    heard, finish = await run(FakeListChatModel(responses=["hey"]))
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].model == "runnable"
    assert heard.content == [TextDelta(text="h"), TextDelta(text="e"), TextDelta(text="y")]
    assert finish == Finish(reason="stop")


async def test_chain_of_prompt_model_and_parser() -> None:
    """prompt | model | StrOutputParser streams its text."""
    model = GenericFakeChatModel(messages=iter(["tell me more"]))
    heard, _ = await run(ChatPromptTemplate.from_template("About {topic}.") | model | StrOutputParser())
    assert heard.text == "tell me more"
    assert len([event for event in heard.content if isinstance(event, TextDelta)]) > 1


@pytest.mark.parametrize(
    "target",
    [
        RunnableLambda(lambda text: f"you said {text[-1].content}"),
        FakeMessagesListChatModel(responses=[AIMessage("you said hello")]),
        RunnableLambda(lambda _: {"context": ["a document"], "answer": "you said hello"}),
        RunnableLambda(lambda _: {"output": AIMessage("you said hello")}),
    ],
    ids=["str", "message", "answer", "output"],
)
async def test_whole_outputs(target: Any) -> None:
    """Runnables that give all at once: a string, a message, an object with "answer" or "output"."""
    heard, _ = await run(target)
    assert heard.text == "you said hello"


async def test_streamed_objects() -> None:
    """A parallel chain's "answer" is streamed; the keys beside it pass unread."""
    model = FakeListChatModel(responses=["hey"])
    heard, _ = await run(RunnableParallel(answer=model | StrOutputParser(), source=RunnablePassthrough()))
    assert heard.text == "hey"
    assert len(heard.content) == 3


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (RunnableLambda(lambda _: 7), "a value of type int"),
        (RunnableLambda(lambda _: {"verdict": "fine"}), "the keys 'verdict'"),
    ],
)
async def test_unreadable_output(target: Any, told: str) -> None:
    """A chain of which nothing can be read fails and says why; it is not an empty answer."""
    with pytest.raises(UpstreamError, match=told) as caught:
        await run(target)
    assert caught.value.code == "upstream_invalid"


async def test_async_generator() -> None:
    """A RunnableGenerator over an async generator streams as it yields."""

    async def words(_: AsyncIterator[Any]) -> AsyncIterator[str]:
        yield "one "
        yield "two"

    heard, _ = await run(RunnableGenerator(words))
    assert heard.text == "one two"


async def test_an_iterator_without_aclose() -> None:
    """A hand-written `astream` may return any async iterator."""

    class Words:
        left = ["two", "one "]  # noqa: RUF012

        def __aiter__(self) -> Words:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    class Plain(BlockingRunnable):
        def astream(self, *_: Any, **__: Any) -> Any:
            return Words()

    heard, _ = await run(Plain())
    assert heard.text == "one two"


async def test_blocking_runnables_stream() -> None:
    """What LangChain can't stream in async, or only in a lump, streams from a thread."""

    def shout(words: Iterator[Any]) -> Iterator[str]:
        for word in words:
            yield f"{word}!"

    heard, _ = await run(FakeListChatModel(responses=["hey"]) | StrOutputParser() | RunnableGenerator(shout))
    assert heard.text == "h!e!y!"
    heard, _ = await run(BlockingRunnable())
    assert heard.text == "one two"


async def test_blocking_model_is_stopped() -> None:
    """Cancelling stops a model that streams by blocking: its generator is closed, its thread ends."""
    model = BlockingModel()
    provider = await opened(model)
    heard = Heard()
    task = asyncio.create_task(provider.run(asked(), heard))
    await until(lambda: heard.text)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await until(lambda: model.closed)
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "tailrace-iterate"])


async def test_cancel_closes_the_chain() -> None:
    """Cancelling runs the chain's own clean-up, wherever in it the wait is."""
    closed = asyncio.Event()

    async def endless(_: AsyncIterator[Any]) -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            closed.set()

    heard = Heard()
    task = asyncio.create_task((await opened(RunnableGenerator(endless) | RunnablePassthrough())).run(asked(), heard))
    await until(lambda: heard.text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(closed.wait(), 5)


async def test_what_the_sink_raises_comes_through() -> None:
    """An exception of the sink's is not taken for the chain's."""

    def full(_: list[Event]) -> None:
        raise LookupError("no more")

    with pytest.raises(LookupError):
        await (await opened(FakeListChatModel(responses=["hey"]))).run(asked(), full)


async def test_half_a_surrogate_pair() -> None:
    """Text that can't be encoded is mended, so that it harms nobody further on."""
    heard, _ = await run(RunnableLambda(lambda _: "a\ud800é"))
    assert heard.text == "a?é"


# What is read of chunks


async def test_tool_call_chunks() -> None:
    """Tool calls come in pieces, two side by side, and the end is "tool_calls"."""
    heard, finish = await run(
        scripted(
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="", id="a", index=0)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args='{"q":', index=0)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="see", args="{}", id="b", index=1)]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args="1}", index=0)]),
        )
    )
    assert heard.content == [
        ToolCallStarted(call=0, id="a", name="look"),
        ToolCallDelta(call=0, arguments='{"q":'),
        ToolCallStarted(call=1, id="b", name="see"),
        ToolCallDelta(call=1, arguments="{}"),
        ToolCallDelta(call=0, arguments="1}"),
    ]
    assert finish.reason == "tool_calls"


async def test_tool_calls_without_index_or_id() -> None:
    """Without an index a name begins a call, a nameless piece goes on with the last; a missing id is made up."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="{")]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args="}")]),
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", args="{}")]),
        )
    )
    assert [event.id for event in heard.content if isinstance(event, ToolCallStarted)] == ["call_0", "call_1"]
    assert [event.call for event in heard.content if isinstance(event, ToolCallDelta)] == [0, 0, 1]


async def test_whole_tool_calls() -> None:
    """A message that comes whole has its calls read too, arguments as JSON."""
    message = AIMessage("", tool_calls=[{"name": "look", "args": {"q": "x"}, "id": "a"}])
    heard, finish = await run(RunnableLambda(lambda _: message))
    assert heard.content[-1] == ToolCallDelta(call=0, arguments='{"q":"x"}')
    assert finish.reason == "tool_calls"


async def test_content_blocks() -> None:
    """Reasoning with its signature, refusals, and blocks that have no event of their own are all kept."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(content=[{"type": "reasoning", "reasoning": "hm"}]),
            AIMessageChunk(content=[{"type": "reasoning", "extras": {"signature": "sig"}}]),
            AIMessageChunk(
                content=[{"type": "thinking", "thinking": "so", "signature": "s2"}, {"type": "text", "text": "hi"}]
            ),
            AIMessageChunk(content="", additional_kwargs={"reasoning_content": "aha"}),
            AIMessageChunk(content=[{"type": "refusal", "refusal": "no"}]),
            AIMessageChunk(content=[{"type": "image", "url": "https://example.org/a.png"}]),
        )
    )
    assert heard.content[:-1] == [
        ReasoningDelta(text="hm"),
        ReasoningDelta(text="", signature="sig"),
        ReasoningDelta(text="so", signature="s2"),
        TextDelta(text="hi"),
        ReasoningDelta(text="aha"),
        RefusalDelta(text="no"),
    ]
    assert isinstance(heard.content[-1], Opaque)
    assert heard.content[-1].kind == "langchain.image"


async def test_usage_sums_up() -> None:
    """The shares that integrations spread over chunks add up, details included."""
    heard, _ = await run(
        scripted(
            AIMessageChunk(
                content="a",
                usage_metadata=UsageMetadata(
                    input_tokens=10,
                    output_tokens=0,
                    total_tokens=10,
                    input_token_details=InputTokenDetails(cache_read=4),
                ),
            ),
            AIMessageChunk(
                content="",
                usage_metadata=UsageMetadata(
                    input_tokens=0,
                    output_tokens=7,
                    total_tokens=7,
                    output_token_details=OutputTokenDetails(reasoning=2),
                ),
            ),
        )
    )
    usages = [event for event in heard.events if isinstance(event, UsageReported)]
    assert usages[-1] == UsageReported(
        input_tokens=10, output_tokens=7, reasoning_tokens=2, cached_input_tokens=4, source="reported"
    )


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"finish_reason": "length"}, Finish(reason="length", native="length")),
        ({"stop_reason": "end_turn"}, Finish(reason="stop", native="end_turn")),
        (
            {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            Finish(reason="stop", native="stop_sequence", stop_sequence="END"),
        ),
        ({"done_reason": "stop"}, Finish(reason="stop", native="stop")),
        ({"finish_reason": "MAX_TOKENS"}, Finish(reason="length", native="MAX_TOKENS")),
        ({"finish_reason": "SAFETY"}, Finish(reason="content_filter", native="SAFETY")),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Finish(reason="length", native="max_output_tokens"),
        ),
        ({"finish_reason": "something new"}, Finish(reason="stop", native="something new")),
    ],
)
async def test_finish_reasons(metadata: dict[str, Any], finish: Finish) -> None:
    """Each vendor's word for the end is understood, and handed on."""
    _, ended = await run(scripted(AIMessageChunk(content="hi"), AIMessageChunk(content="", response_metadata=metadata)))
    assert ended == finish


async def test_a_model_that_ends_in_error() -> None:
    """A finish reason that means failure is no finish."""
    with pytest.raises(UpstreamError, match="malformed_function_call"):
        await run(scripted(AIMessageChunk(content="", response_metadata={"finish_reason": "MALFORMED_FUNCTION_CALL"})))


async def test_the_model_names_itself() -> None:
    """`Started` has the name that the first chunk gives, else the one that was asked for."""
    heard, _ = await run(scripted(AIMessageChunk(content="hi", response_metadata={"model_name": "gpt-x-2"})))
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].model == "gpt-x-2"
    heard, _ = await run(scripted(AIMessageChunk(content="hi")), asked(model="gpt-x"))
    assert isinstance(heard.events[0], Started)
    assert heard.events[0].model == "gpt-x"


# What they are given


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


# What goes wrong


async def test_a_chain_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception becomes `upstream_error` with its type; secrets are taken out, of the log too."""
    secret = "sk-canary0123456789abcdef"

    def fail(_: Any) -> str:
        raise LookupError(f"bad key {secret}")

    with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamError) as caught:
        await run(RunnableLambda(fail))
    assert caught.value.code == "upstream_error"
    assert "LookupError" in caught.value.message
    assert secret not in caught.value.message
    assert logs[0]["event"] == "langchain_failed"
    assert "in fail" in logs[0]["frames"]
    assert secret not in str(logs)


async def test_a_vendor_refusal_keeps_its_status() -> None:
    """An exception with an HTTP status, as the vendors' SDKs raise, means what that status means."""

    class RateLimitError(Exception):
        status_code = 429

    def fail(_: Any) -> str:
        raise RateLimitError("slow down")

    with pytest.raises(UpstreamError) as caught:
        await run(RunnableLambda(fail))
    assert (caught.value.code, caught.value.status) == ("upstream_refused", 429)


async def test_a_model_that_fails_in_the_middle() -> None:
    """What came before the failure was handed over."""
    heard = Heard()
    provider = await opened(FakeListChatModel(responses=["hey"], error_on_chunk_number=2))
    with pytest.raises(UpstreamError, match="FakeListChatModelError"):
        await provider.run(asked(), heard)
    assert heard.text == "he"


# Opening


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working folder, with a chain in it."""
    name = "chains_of_a_test"
    (tmp_path / f"{name}.py").write_text(
        "from langchain_core.runnables import RunnableLambda\n"
        "class nested:\n"
        "    chain = RunnableLambda(lambda _: 'hi')\n"
        "chain = nested.chain\n"
        "text = 'no runnable'\n"
        "def two(fields): return fields['a'] + fields['b']\n"
        "pair = RunnableLambda(two)\n"
        "def number(n: int): return str(n)\n"
        "number = RunnableLambda(number)\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("raise OSError('no key sk-canary0123456789abcdef')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("path", ["chain", "nested.chain"])
async def test_import_path(app: str, path: str) -> None:
    """`module:name` is found in the working folder, and the last part of the name is the model's."""
    provider = await opened(f"{app}:{path}")
    assert await provider.models() == ["chain"]
    heard = Heard()
    await provider.run(asked(), heard)
    assert heard.text == "hi"
    await provider.close()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("chains_of_a_test", "must be like 'package.module:runnable'"),
        ("no_such_module_here:chain", "can't import 'no_such_module_here'"),
        ("chains_of_a_test:nothing", "has no 'nothing'"),
        ("chains_of_a_test:text", "must be a LangChain Runnable, not str"),
        ("chains_of_a_test_broken:chain", "can't import 'chains_of_a_test_broken': no key"),
        ("chains_of_a_test:pair", "needs the keys 'a', 'b'"),
        ("chains_of_a_test:number", "its input is of type 'integer'"),
    ],
)
@pytest.mark.usefixtures("app")
async def test_bad_targets(target: str, told: str) -> None:
    """A target that can't serve is refused at open, with the setting's place, what is wrong, and no secret."""
    with pytest.raises(SettingsError) as caught:
        await opened(target)
    assert caught.value.where == "[providers.lc] target"
    assert told in caught.value.message
    assert "canary" not in str(caught.value)


async def test_without_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without langchain-core the error says what to install; the module itself imports without it."""
    for module in [name for name in sys.modules if name.startswith("tailrace.providers.langchain.c")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "langchain_core.language_models", None)
    with pytest.raises(SettingsError, match=r"pip install 'tailrace\[langchain\]'"):
        await opened("anything:chain")
