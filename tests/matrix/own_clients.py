"""The AI SDK's chat, which runs in Node, and tailrace's own client."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, Final

from tests.dialects.ai_sdk.sdk import SDK
from tests.matrix.client import (
    IMAGE_URL,
    BrokenError,
    Client,
    RefusedError,
    chat_options,
    chat_results,
    chat_user,
    read_arguments,
)
from tests.matrix.conversation import RESULTS, SYSTEM, Answer, Options

import tailrace
from tailrace.errors import RequestError, StreamError

_BAD_REQUEST: Final = 400


class Chat(Client):
    """The chat of `useChat`. It keeps the conversation itself, so a turn is what it is told to do."""

    name = "ai_sdk"
    wholes = False
    keeps_signatures = True

    def __init__(self, sdk: SDK, url: str) -> None:
        self._sdk = sdk
        self._url = url
        self._names = map("matrix-{}".format, itertools.count())

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        begun = [turn["chat"] for turn in turns if "chat" in turn]
        name = begun[0] if begun else await self._open(model, options)
        for command, fields in turns[-1]["commands"]:
            state = await self._sdk.ask(command, chat=name, **fields)
        if state["status"] == "error":
            raise _translate(state)
        return _read_state(name, state)

    def user(self, text: str, *, image: bool = False) -> Any:
        files = [{"type": "file", "mediaType": "image/png", "url": IMAGE_URL}] if image else []
        return {"commands": [("send", {"text": text, "files": files})]}

    def results(self, answer: Answer) -> list[Any]:
        outputs = [
            ("output", {"tool": tool, "toolCallId": call_id, "output": result})
            for (tool, _), call_id, result in zip(answer.calls, answer.call_ids, RESULTS, strict=True)
        ]
        return [{"commands": [*outputs, ("proceed", {})]}]

    async def _open(self, model: str, options: Options) -> str:
        name = next(self._names)
        body = {"model": model, "system": SYSTEM, **chat_options(options)}
        await self._sdk.ask("open", chat=name, api=f"{self._url}/ai-sdk/chat", body=body)
        return name


class Own(Client):
    """`tailrace.Client`."""

    name = "delta"
    wholes = False
    keeps_reasoning = False

    def __init__(self, client: tailrace.Client) -> None:
        self._client = client

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        fields = chat_options(options)
        try:
            async with self._client.stream(model=model, system=SYSTEM, messages=turns, **fields) as answer:
                await answer.read()
        except RequestError as error:
            raise RefusedError(error.message, error.field) from error
        except StreamError as error:
            raise BrokenError(error.message) from error
        calls = [use for _, use in sorted(answer.tool_calls.items())]
        functions = [{"name": use.name, "arguments": use.arguments} for use in calls]
        written = [
            {"id": use.id, "type": "function", "function": function}
            for use, function in zip(calls, functions, strict=True)
        ]
        turn = {"role": "assistant", "content": answer.text, **({"tool_calls": written} if written else {})}
        finish: Any = answer.finish_reason
        assert answer.usage is not None
        return Answer(
            text=answer.text,
            reasoning=answer.reasoning,
            finish=finish,
            usage=(answer.usage.input_tokens, answer.usage.output_tokens),
            calls=tuple((use.name, read_arguments(use.arguments)) for use in calls),
            call_ids=tuple(use.id for use in calls),
            turns=[turn],
        )

    def user(self, text: str, *, image: bool = False) -> Any:
        return chat_user(text, image=image)

    def results(self, answer: Answer) -> list[Any]:
        return chat_results(answer)


def _translate(state: Any) -> Exception:
    if state.get("statusCode") == _BAD_REQUEST:
        problem = json.loads(state["error"])
        return RefusedError(problem["detail"], problem.get("field"))
    return BrokenError(state["error"])


def _read_state(name: str, state: Any) -> Answer:
    """The last message's last step."""
    message = state["messages"][-1]
    starts = [place for place, part in enumerate(message["parts"]) if part["type"] == "step-start"]
    parts = message["parts"][starts[-1] :]
    calls = [part for part in parts if part["type"].startswith("tool-")]
    usage = message["metadata"]["usage"]
    finish: Any = state["finishes"][-1]["finishReason"].replace("-", "_")
    return Answer(
        text="".join(part["text"] for part in parts if part["type"] == "text"),
        reasoning="".join(part["text"] for part in parts if part["type"] == "reasoning"),
        finish=finish,
        usage=(usage.get("inputTokens"), usage.get("outputTokens")),
        calls=tuple((part["type"].removeprefix("tool-"), part["input"]) for part in calls),
        call_ids=tuple(part["toolCallId"] for part in calls),
        turns=[{"chat": name}],
    )
