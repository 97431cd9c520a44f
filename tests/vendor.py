"""What a vendor's own types say that its answers hold: every field, and every kind of value that each may have."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import anthropic.types
import ollama
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

_LEAVES: Final[dict[object, list[Any]]] = {
    str: ["text", "é漢\u2028😀"],
    int: [0, 3],
    float: [0.5, -1.25e-7],
    bool: [True, False],
    object: [{"any": [1, None]}],
    Any: [{"any": [1.5, None]}],
    datetime: ["2026-11-20T07:00:00Z"],
    ollama.Image: ["iVBORw0KGgo="],
    type(None): [None],
}


def specimens(kind: Any, *, known: set[object] | None = None) -> list[Any]:
    """JSON values of a type that together have every field, each with every alternative that it may hold.

    Objects of a type that is `known` already come once, and those that come are known from then on.
    """
    match get_origin(kind):
        case origin if origin is Literal:
            return list(get_args(kind))
        case origin if origin in (Union, types.UnionType):
            return [value for member in get_args(kind) for value in specimens(member, known=known)]
        case origin if origin is Annotated:
            return specimens(get_args(kind)[0], known=known)
        case origin if origin in (list, Sequence):
            return [specimens(get_args(kind)[0], known=known)]
        case origin if origin in (dict, Mapping):
            return [{"key": value} for value in specimens(get_args(kind)[1], known=known)]
    if kind not in _LEAVES:
        return _objects(kind, known)
    return _LEAVES[kind]


def _objects(model: type[BaseModel], known: set[object] | None) -> list[dict[str, Any]]:
    again = known is not None and model in known
    if known is not None:
        known.add(model)
    fields = {
        field.alias or name: specimens(field.annotation, known=known) for name, field in model.model_fields.items()
    }
    most = 1 if again else max(map(len, fields.values()))
    return [{name: values[turn % len(values)] for name, values in fields.items()} for turn in range(most)]


def names_in(value: Any) -> set[str]:
    """The names of all fields in a JSON value, at any depth."""
    match value:
        case dict():
            return set(value).union(*map(names_in, value.values()))
        case list():
            return set().union(*map(names_in, value))
        case _:
            return set()


def chat_chunks() -> list[dict[str, Any]]:
    """A stream of chunks with every field of OpenAI's types, those it sends beside them, and some that nobody knows."""
    chunks = [
        {**chunk, "id": "chatcmpl-theirs", "object": "chat.completion.chunk"}
        for chunk in specimens(ChatCompletionChunk)
    ]
    opening = [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
        _delta({"role": "assistant", "content": "", "refusal": None}, obfuscation="a1B2"),
    ]
    more = [
        _delta({"content": " more"}),
        _delta(
            {"content": "", "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]}
        ),
        _delta({"audio": {"id": "audio_1", "data": "eA==", "transcript": "Hi", "expires_at": 1}}),
        _delta(
            {"reasoning_content": "Hm.", "thinking_blocks": [{"signature": "s"}], "mood": 7},
            vendor={"deep": [1.0, None]},
        ),
        _delta({"content": "x"}, index=1, logprobs={"content": [{"token": "x", "logprob": -0.1}]}),
        _delta({}, index=1, finish_reason="a_reason_of_tomorrow"),
        _delta({}, index=3, finish_reason="length"),
        _delta({}, finish_reason="stop", content_filter_results={"hate": {"filtered": False}}),
    ]
    return [*opening, *chunks, *more]


def usage_chunk() -> dict[str, Any]:
    """The chunk that ends a stream whose client asked for usage."""
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 42,
        "total_tokens": 49,
        "completion_tokens_details": {"audio_tokens": 1},
    }
    return {"id": "chatcmpl-theirs", "object": "chat.completion.chunk", "choices": [], "usage": usage}


def _delta(delta: dict[str, Any], *, index: int = 0, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": fields.pop("logprobs", None), "finish_reason": finish_reason}
    if "content_filter_results" in fields:
        choice["content_filter_results"] = fields.pop("content_filter_results")
    same = {"id": "chatcmpl-theirs", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-theirs"}
    return {**same, "service_tier": "flex", "system_fingerprint": "fp_1", **fields, "choices": [choice]}


def message_events() -> list[dict[str, Any]]:
    """A stream with every field and every kind of event of Anthropic's types, and some that nobody knows."""
    start, *others = (
        specimens(kind)
        for kind in (
            anthropic.types.RawMessageStartEvent,
            anthropic.types.RawContentBlockStartEvent,
            anthropic.types.RawContentBlockDeltaEvent,
            anthropic.types.RawContentBlockStopEvent,
        )
    )
    unknown = [
        {"type": "ping"},
        {"type": "an_event_of_tomorrow", "deep": [1.0, None]},
        {"type": "content_block_start", "index": 9, "content_block": {"type": "text", "text": "", "mood": 1}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "é\u2028"}, "vendor": {}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "a_delta_of_tomorrow", "said": "so"}},
        {"type": "content_block_stop", "index": 9},
    ]
    ends = specimens(anthropic.types.RawMessageDeltaEvent)
    stop = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}}
    return [start[0], *(event for events in others for event in events), *unknown, *ends, stop]


_BREAKING_OFF: Final = ("error", "response.failed", "response.completed", "response.incomplete")


def response_events(*, numbers: int = 0) -> list[dict[str, Any]]:
    """A stream with every field and every kind of event of OpenAI's responses, and some that nobody knows.

    Its response is `resp_theirs`, and its items' names are those of the types.
    """
    kinds = get_args(get_args(ResponseStreamEvent)[0])
    met: set[object] = set()
    known = [event for kind in kinds for event in specimens(kind, known=met) if event["type"] not in _BREAKING_OFF]
    # No call's arguments before its name
    known.sort(key=lambda event: event["type"] != "response.output_item.added")
    call = {"type": "function_call", "id": "fc_theirs", "call_id": "call_1", "name": "look", "arguments": ""}
    called = {"type": "response.output_item.added", "output_index": 3, "item": call}
    said = {"item_id": "msg_theirs", "output_index": 900, "content_index": 0}
    more: list[dict[str, Any]] = [
        {"type": "keepalive"},
        {"type": "response.an_event_of_tomorrow", "response_id": "resp_theirs", "deep": [1.0, None]},
        {"type": "response.output_item.added", "output_index": 900, "item": _message("in_progress", [])},
        {"type": "response.output_text.delta", **said, "delta": "Hi", "logprobs": [], "obfuscation": "a1"},
        {"type": "response.output_text.delta", **said, "delta": "é\u2028", "logprobs": [], "vendor": {"mood": 1.0}},
        {"type": "response.output_item.done", "output_index": 900, "item": _message("completed", [_TOLD])},
        {"type": "response.completed", "response": _response("completed", [_message("completed", [_TOLD])])},
    ]
    events = [{"type": "response.created", "response": _response("in_progress", [])}, called, *known, *more]
    return [_named(event) | {"sequence_number": number} for number, event in enumerate(events, numbers)]


_TOLD: Final = {"type": "output_text", "text": "Hié\u2028", "annotations": [], "logprobs": [], "mood": 1.0}


def _message(status: str, content: list[Any]) -> dict[str, Any]:
    return {
        "id": "msg_theirs",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
        "vendor": 1,
    }


def _response(status: str, output: list[Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 42,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 49,
    }
    done = status == "completed"
    same = {"id": "resp_theirs", "object": "response", "created_at": 1_700_000_000, "model": "gpt-theirs"}
    extra = {"store": False, "service_tier": "flex", "metadata": {}, "vendor": {"deep": [1.0, None]}}
    return {**same, **extra, "status": status, "output": output, "usage": usage if done else None}


def _named(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the one name that all of a stream's responses have."""
    if not isinstance(event.get("response"), dict):
        return event
    ours = {"store": False, "background": False, "previous_response_id": None, "conversation": None}
    return {**event, "response": {**event["response"], **ours, "id": "resp_theirs"}}


def chat_lines() -> list[dict[str, Any]]:
    """The lines of an Ollama chat with every field of its client's types, and some that nobody knows."""
    lines = [
        {**line, "model": "qwen3", "done": False, "vendor": {"deep": [1.0, None]}}
        for line in specimens(ollama.ChatResponse)
    ]
    said = {
        "model": "qwen3",
        "created_at": "2026-11-20T07:00:00.5Z",
        "message": {"role": "assistant", "content": " more"},
    }
    return [said | {"done": False}, *lines, said | {"done": False}, {**lines[0], "done": True, "done_reason": "stop"}]


def write_events(payloads: list[bytes]) -> bytes:
    """The payloads as the event stream of an upstream that uses all that the rules allow."""
    dresses = (
        b"data: %b\n\n",
        b"data:%b\r\n\r\n",
        b": ping\n\ndata: %b\n\n",
        b"event: chunk\nid: theirs-1\nretry: 5\ndata: %b\n\n",
        b"data: %b\nid: theirs-2\r\n\n",
    )
    dressed = (dresses[place % len(dresses)] % payload for place, payload in enumerate(payloads))
    return b"".join([*dressed, b"data: [DONE]\n\n"])


def as_payloads(chunks: list[dict[str, Any]]) -> list[bytes]:
    """The chunks as JSON, written in more than one way."""
    styles: list[dict[str, Any]] = [{}, {"ensure_ascii": False}, {"separators": (",", ":"), "ensure_ascii": False}]
    return [json.dumps(chunk, **styles[place % 3]).encode() for place, chunk in enumerate(chunks)]
