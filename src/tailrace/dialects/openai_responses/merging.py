"""A whole response from the events that an upstream of this format streamed, with all that they hold.

The format: https://platform.openai.com/docs/api-reference/responses-streaming. The event that ends a response has all
of it. Until then it is put together as the vendor's own clients do: items and parts as they are added, pieces of text
joined, and what is done as it then is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tailrace.dialects.openai_responses.draft import fold_response
from tailrace.dialects.openai_responses.errors import response_error
from tailrace.dialects.openai_responses.frames import Fields, data_of, parse_event
from tailrace.dialects.openai_responses.names import name_item, response_id
from tailrace.dialects.openai_responses.terms import TERMS, Terms, read_terms
from tailrace.dialects.openai_responses.usage import usage_json
from tailrace.events import WHOLE_FRAME, Event, Failed, Finished, Opaque, UsageReported

# Which event adds to which text: the list that its part is in, the field that counts them, and the text's name.
_PIECES: Final = {
    "response.output_text.delta": ("content", "content_index", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text"),
}
_PARTS: Final = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}


class Merger:
    """What the events have come to so far."""

    def __init__(self) -> None:
        self._response: Fields = {}
        self._items: dict[int, Fields] = {}

    def add(self, event: Fields) -> None:
        """Take the next event; one that is not known, or not as it should be, changes nothing."""
        kind = event.get("type")
        if isinstance(response := event.get("response"), dict):
            self._response = response
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._put_item(event)
        elif kind in _PARTS:
            self._put_part(event, *_PARTS[kind])
        elif kind in _PIECES:
            self._add_piece(event, *_PIECES[kind])
        elif kind == "response.function_call_arguments.delta":
            item = self._item(event)
            item["arguments"] = f"{item.get('arguments') or ''}{event.get('delta') or ''}"

    @property
    def is_whole(self) -> bool:
        """Whether the upstream has told of all at once."""
        return bool(self._told)

    @property
    def response(self) -> Fields:
        """The response as it stands; its output is the upstream's own where that has one."""
        return {**self._response, "output": self._told or self._sorted()}

    @property
    def _told(self) -> list[Any]:
        output = self._response.get("output")
        return output if isinstance(output, list) else []

    def _sorted(self) -> list[Fields]:
        return [item for _, item in sorted(self._items.items())]

    def _item(self, event: Fields) -> Fields:
        index = event.get("output_index")
        return self._items.setdefault(index if isinstance(index, int) else len(self._items), {})

    def _put_item(self, event: Fields) -> None:
        item = self._item(event)
        if isinstance(told := event.get("item"), dict):
            item.clear()
            item.update(told)

    def _part(self, event: Fields, place: str, counter: str) -> Fields:
        item, index = self._item(event), event.get(counter)
        parts: list[Fields] = item.setdefault(place, []) if isinstance(item.get(place, []), list) else []
        index = index if isinstance(index, int) and 0 <= index < len(parts) else len(parts)
        if index == len(parts):
            parts.append({})
        elif not isinstance(parts[index], dict):
            parts[index] = {}
        return parts[index]

    def _put_part(self, event: Fields, place: str, counter: str) -> None:
        part = self._part(event, place, counter)
        if isinstance(told := event.get("part"), dict):
            part.update(told)

    def _add_piece(self, event: Fields, place: str, counter: str, name: str) -> None:
        part = self._part(event, place, counter)
        part[name] = f"{part.get(name) or ''}{event.get('delta') or ''}"


def merge_response(stream_id: str, events: Sequence[Event], *, created_at: float = 0.0) -> dict[str, Any]:
    """The response as a log's events have it: the upstream's own with our names, ours where it sent no events."""
    if (merger := _merge(events)) is None:
        return fold_response(stream_id, events, created_at=created_at)
    terms = find_terms(events)
    usage = next((event for event in reversed(events) if isinstance(event, UsageReported)), None)
    last = events[-1]
    terminal = last if isinstance(last, Finished | Failed) else None
    response = _end(merger.response, terminal)
    if terminal is not None and response.get("usage") is None:
        response["usage"] = usage_json(usage)
    return name_response(stream_id, {**response, **own_fields(response, terms)}, terms)


def merge_output(events: Sequence[Event]) -> list[Any]:
    """The items that an upstream of this format has told of; none where it sent no events."""
    merger = _merge(events)
    return [] if merger is None else list(merger.response["output"])


def find_terms(events: Iterable[Event]) -> Terms | None:
    """What a log says of the request."""
    for event in events:
        if isinstance(event, Opaque) and event.kind == TERMS:
            return read_terms(event.json)
    return None


def own_fields(response: Fields, terms: Terms | None) -> dict[str, Any]:
    """Which fields of an upstream's response are tailrace's matter, and are not as they should be."""
    if terms is None:
        return {}
    said = terms.echo
    ours = {name: said.get(name) for name in ("store", "background", "previous_response_id", "conversation")}
    if "metadata" in said:
        ours["metadata"] = said["metadata"]
    if terms.background:
        # It had its time before the upstream was asked
        ours["created_at"] = int(terms.created_at)
    return {name: value for name, value in ours.items() if (response.get(name) or None) != (value or None)}


def name_response(stream_id: str, response: Fields, terms: Terms | None) -> Fields:
    """A parsed response with our names."""
    named = {**response, "id": response_id(stream_id)}
    if terms is not None and terms.kept:
        named["output"] = [name_item(stream_id, item) for item in response["output"]]
    return named


def _merge(events: Sequence[Event]) -> Merger | None:
    """What all events come to; where the last has all of it, that alone is looked at."""
    frames = [event for event in events if event.frame]
    if not frames:
        return None
    merger = Merger()
    merger.add(_parse(frames[-1]))
    if not merger.is_whole:
        merger = Merger()
        for event in frames:
            merger.add(_parse(event))
    return merger


def _parse(event: Event) -> Fields:
    frame = event.frame or b""
    if isinstance(event, Opaque) and event.kind == WHOLE_FRAME:
        return {"response": parse_event(frame)}
    return parse_event(data_of(frame))


def _end(response: Fields, terminal: Finished | Failed | None) -> Fields:
    """What was being said when it broke off stays as it is: an item that is done would look like a whole one."""
    if isinstance(terminal, Finished):
        said = response.get("status")
        return {**response, "status": said if said in ("completed", "incomplete") else "completed"}
    if terminal is None:
        return response
    output = [
        {**item, "status": "incomplete"} if isinstance(item, dict) and item.get("status") == "in_progress" else item
        for item in response["output"]
    ]
    if terminal.code == "cancelled":
        return {**response, "output": output, "status": "cancelled", "error": None}
    return {**response, "output": output, "status": "failed", "error": response_error(terminal)}
