"""Writes the body of a request to OpenAI's Responses API.

The format: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.errors import RequestError
from tailrace.providers.bodies import encode_body, pick, refuse_fields, unsupported
from tailrace.providers.openai.hosts import is_openai, reasons
from tailrace.providers.openai_responses.items import VENDOR, said, write_conversation
from tailrace.requests import ChatRequest, ResponseFormat, Tool

_SAME: Final = ("temperature", "top_p", "parallel_tool_calls", "user", "metadata")
_UNKNOWN: Final = ("top_k", "seed", "presence_penalty", "frequency_penalty")

# Fields of chat completions that have no counterpart here. OpenAI refuses them itself, others are seen to ignore them.
_CHAT_ONLY: Final = frozenset({"logit_bias", "prediction", "modalities", "audio", "web_search_options"})

_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"


def write_request(request: ChatRequest, *, host: str) -> bytes:
    """The body for the server at `host`, on which a few fields depend.

    Nothing is stored at the vendor's unless `extra` says so: reasoning goes back and forth encrypted instead. `extra`
    is handed on for the server to judge, with chat completions' `verbosity` and `logprobs` in the words of this format.
    """
    _refuse(request)
    extra = {key: value for key, value in request.extra.items() if key not in {"verbosity", "logprobs"}}
    instructions, items = write_conversation(request)
    body: dict[str, Any] = {"store": False, **extra, **pick(request, *_SAME), **_tools(request)}
    optional = {
        "instructions": instructions,
        "max_output_tokens": request.max_tokens,
        "text": _text(request),
        "reasoning": _reasoning(request),
        "include": include(request.extra.get("include"), request, host),
    }
    body |= {key: value for key, value in optional.items() if value}
    return encode_body({**body, **said(request.native), "model": request.model, "input": items, "stream": True})


def _refuse(request: ChatRequest) -> None:
    refuse_fields(VENDOR, request, _UNKNOWN)
    if request.stop:
        raise unsupported("stop", f"{VENDOR} has no stop sequences: leave them out, or choose another model")
    if unknown := sorted(request.extra.keys() & _CHAT_ONLY):
        raise unsupported(unknown[0], f"{VENDOR} has no {unknown[0]}: leave it out, or choose another model")


def _tools(request: ChatRequest) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if request.tools:
        written["tools"] = [_tool(tool) for tool in request.tools]
    if isinstance(request.tool_choice, tuple):
        written["tool_choice"] = {"type": "function", "name": request.tool_choice[1]}
    elif request.tool_choice is not None:
        written["tool_choice"] = request.tool_choice
    return written


def _tool(tool: Tool) -> dict[str, Any]:
    native = said(tool.native)
    if "type" in native:
        return native
    # Unlike any other format this one is strict by default, which would make every optional argument a required one
    # (https://platform.openai.com/docs/guides/migrate-to-responses, 2026-11).
    strict = bool(tool.strict)
    described = {} if tool.description is None else {"description": tool.description}
    written = {"type": "function", "name": tool.name, **described, "parameters": tool.parameters, "strict": strict}
    return written | native


def _text(request: ChatRequest) -> dict[str, Any]:
    text = _extra_object(request, "text")
    if (verbosity := request.extra.get("verbosity")) is not None:
        text["verbosity"] = verbosity
    if request.response_format is not None:
        text["format"] = _format(request.response_format)
    return text


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return schema


def _reasoning(request: ChatRequest) -> dict[str, Any]:
    """Who asks for effort wants to see something of it: a summary, which comes only where it is asked for."""
    effort = request.reasoning_effort
    reasoning: dict[str, Any] = {}
    if effort is not None:
        reasoning = {"effort": effort} if effort == "none" else {"effort": effort, "summary": "auto"}
    return reasoning | _extra_object(request, "reasoning")


def include(asked: Any, request: ChatRequest, host: str) -> list[Any]:
    """What was asked to be included, and what it takes to hand reasoning back. Raises RequestError."""
    asked = asked or []
    if not isinstance(asked, list):
        raise RequestError(400, "invalid", "must be a list of names", field="include")
    wanted = [_LOGPROBS] if request.extra.get("logprobs") else []
    # OpenAI answers 400 where it is asked of a model that does not reason.
    if not is_openai(host) or (reasons(request.model) and "-chat" not in request.model):
        wanted.append(_ENCRYPTED)
    return [*asked, *(name for name in wanted if name not in asked)]


def _extra_object(request: ChatRequest, field: str) -> dict[str, Any]:
    value = request.extra.get(field) or {}
    if not isinstance(value, dict):
        raise RequestError(400, "invalid", "must be a JSON object", field=field)
    return dict(value)
