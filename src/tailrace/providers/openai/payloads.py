"""The shapes of an OpenAI-compatible chunk, with only the fields in use.

The format: https://platform.openai.com/docs/api-reference/chat-streaming. The fields that servers fill in many ways
are left open and looked at where they are used, so that only what is truly odd needs a second look.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tailrace.providers.payloads import Count, Index, PayloadDecoder


class FunctionPiece(msgspec.Struct, gc=False):
    """A piece of a call's name and arguments. The arguments are JSON text, but some servers send the JSON itself."""

    name: str | None = None
    arguments: Any = None


class ToolCallPiece(msgspec.Struct, gc=False):
    """An element of `delta.tool_calls`."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class Delta(msgspec.Struct, gc=False):
    content: Any = None
    # DeepSeek, vLLM and llama.cpp say the first, OpenRouter, Groq and newer vLLM the second.
    reasoning_content: str | None = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: FunctionPiece | None = None
    annotations: Any = None
    audio: Any = None


class Choice(msgspec.Struct, gc=False):
    index: Index = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    model: Any = None
    created: Any = None
    error: Any = None
    message: Any = None


class TextOnly(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A delta with text and nothing else, whatever it has nulls for."""

    content: str
    role: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning_content: None = None
    reasoning: None = None


class TextChoice(msgspec.Struct, gc=False):
    """A choice that goes on with a piece of text."""

    delta: TextOnly
    index: Index = 0
    finish_reason: None = None
    logprobs: None = None


class Glance(msgspec.Struct, gc=False):
    """What nearly every chunk is: pieces of text. A chunk that fits has nothing else to say; all others don't fit."""

    choices: list[TextChoice]
    usage: None = None
    error: None = None


GLANCES: Final = PayloadDecoder(Glance)
CHUNKS: Final = PayloadDecoder(Chunk, expendable=("usage",))
