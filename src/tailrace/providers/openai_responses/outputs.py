"""Reads what a whole output item holds, and how a response ended.

The format: https://platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tailrace.events import Event, Opaque, ReasoningDelta, RefusalDelta, TextDelta, UsageReported
from tailrace.providers.base import Finish
from tailrace.providers.openai_responses.payloads import Item, Response, Usage
from tailrace.providers.payloads import write_json
from tailrace.providers.signatures import seal_openai

PARAGRAPH: Final = "\n\n"
"""What stands between the parts of one piece of reasoning."""


def content_of(item: Item) -> Iterator[Event]:
    """The events of a whole message."""
    for part in item.content if isinstance(item.content, list) else ():
        match part:
            case {"type": "output_text", "text": str(text)}:
                if text:
                    yield TextDelta(text=text)
                annotations = part.get("annotations")
                yield from annotations_of(annotations if isinstance(annotations, list) else [])
            case {"type": "refusal", "refusal": str(text)}:
                if text:
                    yield RefusalDelta(text=text)
            case _:
                yield Opaque(kind="content", json=write_json(part))


def annotations_of(annotations: list[Any]) -> Iterator[Event]:
    """The annotations of a text as chat completions have them, who put a citation's fields one level lower."""
    told = [_nest(annotation) for annotation in annotations if isinstance(annotation, dict)]
    if told:
        yield Opaque(kind="annotations", json=write_json(told))


def _nest(annotation: dict[str, Any]) -> dict[str, Any]:
    match annotation:
        case {"type": "url_citation", **citation}:
            return {"type": "url_citation", "url_citation": citation}
    return annotation


def reasoning_of(item: Item, *, streamed: bool) -> Iterator[Event]:
    """What the end of a reasoning item has to tell: its proof, and all of it where it did not come in pieces."""
    texts = [] if streamed else _texts_in(item.summary) or _texts_in(item.content)
    encrypted = item.encrypted_content
    signature = seal_openai(item.id or "", encrypted) if isinstance(encrypted, str) and encrypted else None
    if texts or signature:
        yield ReasoningDelta(text=PARAGRAPH.join(texts), signature=signature)


def _texts_in(parts: Any) -> list[str]:
    parts = parts if isinstance(parts, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def finish_of(response: Response, status: str, *, called: bool) -> Finish:
    """How a response of this status ended; one that is incomplete has met a limit, or a filter."""
    if status == "completed":
        return Finish(reason="tool_calls" if called else "stop", native=status)
    details = response.incomplete_details
    why = details.get("reason") if isinstance(details, dict) else None
    native = why if isinstance(why, str) and why else status
    return Finish(reason="content_filter" if native == "content_filter" else "length", native=native)


def usage_of(usage: Usage) -> UsageReported:
    asked, made = usage.input_tokens_details, usage.output_tokens_details
    return UsageReported(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=made.reasoning_tokens if made else None,
        cached_input_tokens=asked.cached_tokens if asked else None,
    )
