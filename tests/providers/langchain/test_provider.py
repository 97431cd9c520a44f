"""LangChain Runnables as upstreams: what they are given, what is read of them, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from tests.providers.langchain.runnables import BlockingModel, BlockingRunnable, Heard, asked, opened, run, until

from tailrace.errors import SettingsError, UpstreamError
from tailrace.events import (
    Event,
    Started,
    TextDelta,
)
from tailrace.providers.base import Finish


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
