"""OpenAI's client, by both of its APIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseCompletedEvent, ResponseIncompleteEvent
from tests.matrix.client import (
    FUNCTIONS,
    IMAGE_URL,
    BrokenError,
    Client,
    RefusedError,
    chat_options,
    chat_results,
    chat_user,
    read_arguments,
)
from tests.matrix.conversation import RESULTS, SCHEMA, SYSTEM, Answer, Finish, Options


class ChatCompletions(Client):
    """`client.chat.completions`."""

    name = "openai_chat"
    tells_refusals = True

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        messages = [{"role": "system", "content": SYSTEM}, *turns]
        fields: dict[str, Any] = {"model": model, "messages": messages, **chat_options(options)}
        try:
            if not stream:
                return _read_completion(await self._client.chat.completions.create(**fields))
            # Its helper for whole streams raises for one that was cut by its limit; this is what it is made of
            state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
            fields["stream_options"] = {"include_usage": True}
            async with await self._client.chat.completions.create(**fields, stream=True) as told:
                async for chunk in told:
                    state.handle_chunk(chunk)
        except openai.APIError as error:
            raise _translate(error) from error
        return _read_completion(state.current_completion_snapshot)

    def user(self, text: str, *, image: bool = False) -> Any:
        return chat_user(text, image=image)

    def results(self, answer: Answer) -> list[Any]:
        return chat_results(answer)


class Responses(Client):
    """`client.responses`, with the turns kept by the client."""

    name = "openai_responses"
    tells_refusals = True
    keeps_signatures = True
    fields = {"response_format": "text.format"}  # noqa: RUF012 - a constant of the class

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        fields = {"model": model, "instructions": SYSTEM, "input": list(turns), "store": False, **_options(options)}
        try:
            if not stream:
                return _read_response(await self._client.responses.create(**fields))
            async with await self._client.responses.create(**fields, stream=True) as told:
                last = [event async for event in told][-1]
        except openai.APIError as error:
            raise _translate(error) from error
        assert isinstance(last, ResponseCompletedEvent | ResponseIncompleteEvent)
        return _read_response(last.response)

    def user(self, text: str, *, image: bool = False) -> Any:
        images = [{"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"}] if image else []
        return {"role": "user", "content": [{"type": "input_text", "text": text}, *images]}

    def results(self, answer: Answer) -> list[Any]:
        return [
            {"type": "function_call_output", "call_id": call_id, "output": result}
            for call_id, result in zip(answer.call_ids, RESULTS, strict=True)
        ]


_CUT: Final[dict[str | None, Finish]] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def _options(options: Options) -> dict[str, Any]:
    said: dict[str, Any] = {"max_output_tokens": options.limit} if options.limit is not None else {}
    if options.tools:
        said["tools"] = [{"type": "function", **tool["function"], "strict": False} for tool in FUNCTIONS]
    if options.schema:
        said["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}
    return said


def _read_completion(completion: ChatCompletion) -> Answer:
    choice, usage = completion.choices[0], completion.usage
    message = choice.message
    calls = [call for call in message.tool_calls or () if call.type == "function"]
    assert usage is not None
    return Answer(
        text=message.content or "",
        reasoning=(message.model_extra or {}).get("reasoning_content") or "",
        refusal=message.refusal or "",
        finish="stop" if choice.finish_reason == "function_call" else choice.finish_reason,
        usage=(usage.prompt_tokens, usage.completion_tokens),
        calls=tuple((call.function.name, read_arguments(call.function.arguments)) for call in calls),
        call_ids=tuple(call.id for call in calls),
        turns=[message.model_dump(exclude_none=True, exclude={"parsed"})],
    )


def _read_response(response: Response) -> Answer:
    said: dict[str, Any] = {"reasoning": "", "refusal": "", "calls": [], "call_ids": []}
    for item in response.output:
        match item.type:
            case "reasoning":
                # A summary in paragraphs, or what an open model thought itself
                summary = "\n\n".join(part.text for part in item.summary)
                said["reasoning"] += summary or "".join(part.text for part in item.content or ())
            case "function_call":
                said["calls"].append((item.name, read_arguments(item.arguments)))
                said["call_ids"].append(item.call_id)
            case "message":
                said["refusal"] += "".join(part.refusal for part in item.content if part.type == "refusal")
    cut = response.incomplete_details
    finish: Finish = "tool_calls" if said["calls"] else "stop"
    assert response.usage is not None
    return Answer(
        text=response.output_text,
        reasoning=said["reasoning"],
        refusal=said["refusal"],
        finish=finish if cut is None else _CUT[cut.reason],
        usage=(response.usage.input_tokens, response.usage.output_tokens),
        calls=tuple(said["calls"]),
        call_ids=tuple(said["call_ids"]),
        turns=list(response.output),
    )


def _translate(error: openai.APIError) -> Exception:
    if isinstance(error, openai.BadRequestError):
        return RefusedError(str(error), error.param)
    return BrokenError(str(error))
