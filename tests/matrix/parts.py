"""What each provider plays in the matrix, and what every client must make of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from tests.matrix import runnable
from tests.matrix.conversation import Finish

FEATURES: Final = ("text", "tools", "reasoning", "image", "stop", "schema", "length", "refusal", "error")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, and where it comes from: the recording in `tests/wire`, or the simulated model's script.

    `signature` is the vendor's proof of the reasoning, by which it comes back; `redacted` what it does not show.
    A `field` is the place that a 400 names, `named` the words for it in its message: the upstream can't be asked this.
    """

    recording: str = ""
    script: str = ""
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    finish: Finish = "stop"
    usage: tuple[int, int] = (0, 0)
    signature: str | None = None
    redacted: str | None = None
    goes_back: bool = False
    fails: str = ""
    field: str = ""
    named: str = ""


_BERN: Final = ("get_weather", {"city": "Bern"})
_CET: Final = ("get_time", {"zone": "CET"})
_JSON: Final = '{"city":"Bern"}'
_WHEELS: Final = "Wheels turn — “slowly”, 水車 🌊.\n"

_OPENAI_TEXT: Final = Part(recording="openai_text.sse", text=_WHEELS, usage=(19, 10))
_RESPONSES_TEXT: Final = Part(recording="openai_responses_text.sse", text=_WHEELS, usage=(19, 10))
_ANTHROPIC_TEXT: Final = Part(recording="anthropic_text.sse", text="Water falls, 滝 🌊", usage=(2125, 15))
_OLLAMA_TEXT: Final = Part(recording="ollama_text.ndjson", text="The brook 小川 🌊\u2028runs.", usage=(26, 8))
_LANGCHAIN_TEXT: Final = Part(text="".join(runnable.TEXT), usage=runnable.COUNTS)

_SIMULATED: Final = "## A simulated answer"
_SIMULATED_TEXT: Final = Part(script="n4-d0", text=_SIMULATED, usage=(7, 4))

PARTS: Final[dict[str, dict[str, Part]]] = {
    "openai": {
        "text": _OPENAI_TEXT,
        "tools": Part(recording="openai_tools.sse", calls=(_BERN, _CET), finish="tool_calls", usage=(76, 40)),
        "reasoning": Part(
            recording="deepseek_reasoning.sse",
            text="Four.",
            reasoning="Two and two.",
            finish="length",
            usage=(14, 7),
        ),
        "image": _OPENAI_TEXT,
        "stop": _OPENAI_TEXT,
        "schema": Part(recording="openai_json.sse", text=_JSON, usage=(41, 6)),
        "length": Part(recording="openai_length.sse", text="Half an ans", finish="length", usage=(12, 5)),
        "refusal": Part(recording="openai_refusal.sse", refusal="I'm sorry, I can't.", usage=(33, 9)),
        "error": Part(recording="openrouter_error.sse", text="Half an", fails="Provider disconnected unexpectedly"),
    },
    "openai_responses": {
        "text": _RESPONSES_TEXT,
        "tools": Part(
            recording="openai_responses_tools.sse",
            reasoning="**Two places**\n\nAsk for both.\n\n**Then**",
            calls=(_BERN, _CET),
            finish="tool_calls",
            usage=(76, 104),
            signature="gAAAAABwhole_and-sealed==",
        ),
        "reasoning": Part(
            recording="openai_responses_incomplete.sse",
            text="Four or",
            reasoning="Two and two.",
            finish="length",
            usage=(14, 7),
        ),
        "image": _RESPONSES_TEXT,
        "stop": Part(field="stop", named="stop sequences"),
        "schema": Part(recording="openai_responses_json.sse", text=_JSON, usage=(41, 6)),
        "length": Part(
            recording="openai_responses_incomplete.sse",
            text="Four or",
            reasoning="Two and two.",
            finish="length",
            usage=(14, 7),
        ),
        "refusal": Part(recording="openai_responses_refusal.sse", refusal="I'm sorry, I can't.", usage=(21, 9)),
        "error": Part(recording="openai_responses_failed.sse", text="Half an", fails="failed to generate a response"),
    },
    "anthropic": {
        "text": _ANTHROPIC_TEXT,
        "tools": Part(
            recording="anthropic_tools.sse",
            text="I'll look.",
            calls=(_BERN, ("get_time", {})),
            finish="tool_calls",
            usage=(25, 89),
        ),
        "reasoning": Part(
            recording="anthropic_thinking.sse",
            text="Three.",
            reasoning="27 is 3 cubed.",
            finish="length",
            usage=(30, 20),
            signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3h",
            redacted="EmwKAhgBEgy3va3pzix",
        ),
        "image": _ANTHROPIC_TEXT,
        "stop": _ANTHROPIC_TEXT,
        "schema": Part(recording="anthropic_json.sse", text=_JSON, usage=(41, 6)),
        "length": Part(recording="anthropic_length.sse", text="Half an ans", finish="length", usage=(12, 5)),
        "refusal": Part(
            recording="anthropic_refusal.sse", text="I can't go on.", finish="content_filter", usage=(12, 7)
        ),
        "error": Part(recording="anthropic_overloaded.sse", text="Half", fails="Overloaded"),
    },
    "ollama": {
        "text": _OLLAMA_TEXT,
        "tools": Part(
            recording="ollama_tools.ndjson",
            reasoning="I need the weather.",
            calls=(("get_weather", {"city": "Bern", "days": 2}), ("get_time", {})),
            finish="tool_calls",
            usage=(26, 8),
            goes_back=True,
        ),
        "reasoning": Part(
            recording="ollama_thinking.ndjson", text="Four.", reasoning="Two and two.", usage=(14, 9), goes_back=True
        ),
        "image": _OLLAMA_TEXT,
        "stop": _OLLAMA_TEXT,
        "schema": Part(recording="ollama_json.ndjson", text=_JSON, usage=(41, 6)),
        "length": Part(recording="ollama_length.ndjson", text="Half an ans", finish="length", usage=(12, 5)),
        "error": Part(recording="ollama_error.ndjson", text="Half", fails="CUDA error"),
    },
    "langchain": {
        "text": _LANGCHAIN_TEXT,
        "tools": Part(calls=(_BERN, _CET), finish="tool_calls", usage=runnable.COUNTS),
        "reasoning": Part(text="Four.", reasoning="Two and two.", usage=runnable.COUNTS),
        "image": _LANGCHAIN_TEXT,
        "stop": _LANGCHAIN_TEXT,
        "schema": Part(field="response_format", named="response_format"),
        "length": Part(text="Half an", finish="length", usage=runnable.COUNTS),
        "refusal": Part(text="I can't go on.", finish="content_filter", usage=runnable.COUNTS),
        "error": Part(text="Half an", fails="the chain tore"),
    },
    "simulated": {
        "text": _SIMULATED_TEXT,
        "tools": Part(
            script="n4-d0-t2",
            text=_SIMULATED,
            calls=(("get_weather", {"city": "simulated"}), ("get_time", {"zone": "simulated"})),
            finish="tool_calls",
            usage=(7, 16),
        ),
        "reasoning": Part(script="n4-d0-r3", text=_SIMULATED, reasoning="The prompt says", usage=(7, 7)),
        "image": _SIMULATED_TEXT,
        "stop": Part(script="n9-d0", text="## A simulated ", usage=(7, 4)),
        "length": Part(script="n100-d0", text="## A simulated answer\n\n", finish="length", usage=(7, 5)),
        "error": Part(script="n9-d0-x3", text="## A simulated", fails="broke off after 3 tokens"),
    },
}
"""By provider and feature. A model of Ollama's refuses in its text; the simulated one never does, nor writes JSON."""
