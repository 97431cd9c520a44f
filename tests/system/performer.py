"""A chat model of LangChain's that does what the prompt tells it: what the system tests name as a provider's target.

The prompt's last line is JSON: the `pieces` to say, and how to `end`: "stop", "length", "fail" or "stall".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult

REPORTED = UsageMetadata(input_tokens=11, output_tokens=7, total_tokens=18)


class Performer(BaseChatModel):
    """Streams only."""

    @property
    def _llm_type(self) -> str:
        return "performer"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        told = json.loads(str(messages[-1].content).splitlines()[-1])
        for piece in told["pieces"]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        if told["end"] == "fail":
            raise ConnectionResetError("out of order")
        if told["end"] == "stall":
            await asyncio.Event().wait()
        yield ChatGenerationChunk(message=_last(told["end"], reported=told["reported"]))


def _last(reason: str, *, reported: bool) -> AIMessageChunk:
    return AIMessageChunk(
        content="", response_metadata={"finish_reason": reason}, usage_metadata=REPORTED if reported else None
    )


performer = Performer()
