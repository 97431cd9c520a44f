"""Anthropic's client and Ollama's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import anthropic
import ollama
from anthropic.types import Message
from tests.matrix.client import FUNCTIONS, BrokenError, Client, RefusedError
from tests.matrix.conversation import PNG, RESULTS, SCHEMA, SYSTEM, TOOLS, Answer, Finish, Options

_STOPS: Final[dict[str | None, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_LIMIT: Final = 500


class Messages(Client):
    """`client.messages`."""

    name = "anthropic"
    keeps_signatures = True
    fields = {"stop": None, "response_format": None}  # noqa: RUF012 - a constant of the class

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._client = client

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        fields: dict[str, Any] = {"model": model, "system": SYSTEM, "messages": list(turns)}
        fields["max_tokens"] = options.limit or _LIMIT
        if options.tools:
            fields["tools"] = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
        if options.stop:
            fields["stop_sequences"] = list(options.stop)
        if options.schema:
            fields["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        try:
            if not stream:
                return _read_message(await self._client.messages.create(**fields))
            async with self._client.messages.stream(**fields) as told:
                return _read_message(await told.get_final_message())
        except anthropic.BadRequestError as error:
            raise RefusedError(str(error)) from error
        except anthropic.APIError as error:
            raise BrokenError(str(error)) from error

    def user(self, text: str, *, image: bool = False) -> Any:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        images = [{"type": "image", "source": source}] if image else []
        return {"role": "user", "content": [{"type": "text", "text": text}, *images]}

    def results(self, answer: Answer) -> list[Any]:
        results = [
            {"type": "tool_result", "tool_use_id": call_id, "content": result}
            for call_id, result in zip(answer.call_ids, RESULTS, strict=True)
        ]
        return [{"role": "user", "content": results}]


class Ollama(Client):
    """`client.chat`, which knows a call by its tool's name alone."""

    name = "ollama"
    fields = {"stop": None, "response_format": None}  # noqa: RUF012 - a constant of the class

    def __init__(self, client: ollama.AsyncClient) -> None:
        self._client = client

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        fields: dict[str, Any] = {"model": model, "messages": [{"role": "system", "content": SYSTEM}, *turns]}
        said = {"stop": list(options.stop) or None, "num_predict": options.limit}
        fields["options"] = {name: value for name, value in said.items() if value is not None}
        if options.tools:
            fields["tools"] = FUNCTIONS
        if options.schema:
            fields["format"] = SCHEMA
        try:
            if not stream:
                return _read_chat([await self._client.chat(**fields)])
            return _read_chat([part async for part in await self._client.chat(**fields, stream=True)])
        except ollama.ResponseError as error:
            raise (RefusedError if error.status_code == 400 else BrokenError)(error.error) from error

    def user(self, text: str, *, image: bool = False) -> Any:
        return {"role": "user", "content": text, **({"images": [PNG]} if image else {})}

    def results(self, answer: Answer) -> list[Any]:
        return [
            {"role": "tool", "tool_name": name, "content": result}
            for (name, _), result in zip(answer.calls, RESULTS, strict=True)
        ]


def _read_message(message: Message) -> Answer:
    calls = [block for block in message.content if block.type == "tool_use"]
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Answer(
        text="".join(block.text for block in message.content if block.type == "text"),
        reasoning="".join(block.thinking for block in message.content if block.type == "thinking"),
        finish=_STOPS[message.stop_reason],
        usage=(usage.input_tokens + cached, usage.output_tokens),
        calls=tuple((call.name, call.input) for call in calls),
        call_ids=tuple(call.id for call in calls),
        turns=[message.to_param()],
    )


def _read_chat(parts: Sequence[ollama.ChatResponse]) -> Answer:
    last = parts[-1]
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    text = "".join(part.message.content or "" for part in parts)
    thinking = "".join(part.message.thinking or "" for part in parts)
    finish: Any = "tool_calls" if calls and last.done_reason == "stop" else last.done_reason
    return Answer(
        text=text,
        reasoning=thinking,
        finish=finish,
        usage=(last.prompt_eval_count, last.eval_count),
        calls=tuple((call.function.name, dict(call.function.arguments)) for call in calls),
        turns=[ollama.Message(role="assistant", content=text, thinking=thinking or None, tool_calls=calls or None)],
    )
