"""The chat model behind the matrix's LangChain provider: the name of the model is the part that it plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from tests.matrix.conversation import Heard
from tests.matrix.hearing import hear_langchain

TEXT: Final = ("The brook", " 小川 🌊 runs.\n")
COUNTS: Final = (21, 8)

heard: list[Heard] = []
"""What it was asked, the latest last."""


def _calls(*pieces: tuple[int, str | None, str | None, str]) -> list[AIMessageChunk]:
    chunks = [tool_call_chunk(name=name, args=said, id=call_id, index=place) for place, call_id, name, said in pieces]
    return [AIMessageChunk(content="", tool_call_chunks=[chunk]) for chunk in chunks]


def _ends(reason: str) -> AIMessageChunk:
    usage = UsageMetadata(input_tokens=COUNTS[0], output_tokens=COUNTS[1], total_tokens=sum(COUNTS))
    return AIMessageChunk(content="", response_metadata={"finish_reason": reason}, usage_metadata=usage)


PARTS: Final[dict[str, list[AIMessageChunk]]] = {
    "text": [*(AIMessageChunk(content=piece) for piece in TEXT), _ends("stop")],
    "tools": [
        *_calls((0, "call_a", "get_weather", '{"ci'), (0, None, None, 'ty":"Bern"}')),
        *_calls((1, "call_b", "get_time", ""), (1, None, None, '{"zone":"CET"}')),
        _ends("tool_calls"),
    ],
    "reasoning": [
        AIMessageChunk(content=[{"type": "reasoning", "reasoning": "Two and two."}]),
        AIMessageChunk(content=[{"type": "text", "text": "Four."}]),
        _ends("stop"),
    ],
    "length": [AIMessageChunk(content="Half an"), _ends("length")],
    "refusal": [AIMessageChunk(content="I can't go on."), _ends("content_filter")],
}


class Player(BaseChatModel):
    """Plays the part that `model` names; once it has answered, it says the text."""

    @property
    def _llm_type(self) -> str:
        return "player"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("it streams")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        heard.append(hear_langchain(messages, {**kwargs, "stop": stop}))
        answered = any(isinstance(message, AIMessage) for message in messages)
        part = "text" if answered else kwargs["model"]
        if part == "error":
            yield ChatGenerationChunk(message=AIMessageChunk(content="Half an"))
            raise RuntimeError("the chain tore")
        for chunk in PARTS.get(part, PARTS["text"]):
            yield ChatGenerationChunk(message=chunk)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)


player = Player()


def _say_again(text: str) -> str:
    return text


parrot: Final[Runnable[str, str]] = RunnableLambda(_say_again)
"""A chain of text alone."""
