"""A client of responses over an upstream of responses: what the one told is what the other is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects.reading import STREAM_ID
from tests.providers.reading import NOW, read_whole, recorded

from tailrace.dialects.openai_responses import fold_response
from tailrace.events import Finished
from tailrace.providers.openai_responses.events import OpenAIResponsesReader
from tailrace.providers.signatures import open_openai
from tailrace.sse import Decoder


def told_by(wire: bytes) -> Any:
    """The response that an upstream's stream ends with."""
    return json.loads(Decoder().feed(wire)[-1].data)["response"]


def without_ids(output: list[Any]) -> list[Any]:
    """The items but for what names them; of reasoning its words alone, which are told as one summary."""
    return [
        {"type": "reasoning", "words": "\n\n".join(piece["text"] for piece in item["summary"] or item["content"])}
        if item["type"] == "reasoning"
        else {name: value for name, value in item.items() if name != "id"}
        for item in output
    ]


@pytest.mark.parametrize("name", ["text", "tools", "search", "refusal", "incomplete"])
def test_the_same_items(name: str) -> None:
    """The output, its order, its citations and what the upstream did itself, the status and the reason are the same."""
    wire = recorded(f"openai_responses_{name}.sse")
    reading = read_whole(lambda: OpenAIResponsesReader(model="m", now=NOW), wire)
    assert reading.finish is not None
    said = told_by(wire)
    response = fold_response(STREAM_ID, [*reading.events, Finished(reason=reading.finish.reason)])
    assert without_ids(response["output"]) == without_ids(said["output"])
    for field in ("status", "incomplete_details", "model", "created_at"):
        assert response[field] == said[field]


def test_reasoning_can_go_back() -> None:
    """The encrypted content that a client gets leads to the upstream's own, and to the item that it is of."""
    wire = recorded("openai_responses_tools.sse")
    reading = read_whole(lambda: OpenAIResponsesReader(model="m", now=NOW), wire)
    (thought,) = [item for item in told_by(wire)["output"] if item["type"] == "reasoning"]
    (shown,) = [item for item in fold_response(STREAM_ID, reading.events)["output"] if item["type"] == "reasoning"]
    assert open_openai(shown["encrypted_content"]) == (thought["id"], thought["encrypted_content"])
