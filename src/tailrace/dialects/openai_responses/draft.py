"""A response as it grows: what each event of a log changes in it, and what a client is told of that.

The format: https://platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, assert_never

from tailrace.dialects.openai_responses.encrypted import REDACTED, read_redacted
from tailrace.dialects.openai_responses.errors import event_error, response_error
from tailrace.dialects.openai_responses.names import ItemPrefix, item_id, response_id
from tailrace.dialects.openai_responses.opaques import read_annotations, read_native
from tailrace.dialects.openai_responses.output import (
    CallItem,
    ContentPart,
    Happening,
    ItemStatus,
    MessageItem,
    NativeItem,
    OutputItem,
    PartKind,
    ReasoningItem,
)
from tailrace.dialects.openai_responses.terms import ANSWERS_WITHOUT, TERMS, Terms, read_terms
from tailrace.dialects.openai_responses.usage import usage_json
from tailrace.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

_CUT: Final[dict[FinishReason, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete."""


class Draft:
    """The response of one stream. `add` takes the events of its log in order, from the first."""

    def __init__(self, stream_id: str, *, created_at: float = 0.0) -> None:
        self._stream_id = stream_id
        self._terms = Terms(created_at=created_at)
        self._model = ""
        self._items: list[OutputItem] = []
        self._calls: dict[int, CallItem] = {}
        self._counts: dict[str, int] = {}
        self._usage: UsageReported | None = None
        self._terminal: Finished | Failed | None = None
        self._created = self._begun = False

    @property
    def open_text(self) -> tuple[MessageItem, ContentPart] | None:
        """The part that a piece of text now goes to without any ado."""
        item = self._items[-1] if self._items else None
        if isinstance(item, MessageItem) and item.parts and item.parts[-1].kind == "output_text":
            return item, item.parts[-1]
        return None

    def add(self, event: Event) -> list[Happening]:
        """What an event brings. Of an answer with several choices a response holds the first."""
        match event:
            case Started(model=model, created_at=created_at):
                self._model = model
                self._terms = self._terms.at(created_at)
                return self._begin()
            case UsageReported():
                self._usage = event
                return []
            case Finished():
                return [*self._begin(), *self._finish(event)]
            case Failed():
                return [*self._begin(), *self._fail(event)]
            case Opaque():
                return self._add_opaque(event)
            case _:
                return [] if event.choice else [*self._begin(), *self._add_content(event)]

    def _add_content(
        self, event: TextDelta | RefusalDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta
    ) -> list[Happening]:
        match event:
            case TextDelta(text=piece):
                return self._add_words("output_text", piece)
            case RefusalDelta(text=piece):
                return self._add_words("refusal", piece)
            case ReasoningDelta(text=piece, signature=signature):
                return self._add_reasoning(piece, signature)
            case ToolCallStarted():
                return self._start_call(event)
            case ToolCallDelta(call=number, arguments=piece):
                return self._calls[number].add(piece) if number in self._calls else []
            case _:
                assert_never(event)

    def to_json(self) -> dict[str, Any]:
        """The response as it stands."""
        return {
            "id": response_id(self._stream_id),
            "object": "response",
            "created_at": int(self._terms.created_at),
            "status": self._status,
            "error": self._error(),
            "incomplete_details": self._incomplete(),
            "model": self._model or self._terms.model,
            "output": [item.to_json() for item in self._items],
            "usage": usage_json(self._usage) if self._terminal is not None else None,
            **ANSWERS_WITHOUT,
            **self._terms.echo,
        }

    # What stands before the content

    def _add_opaque(self, event: Opaque) -> list[Happening]:
        if event.kind == TERMS:
            self._terms = read_terms(event.json)
            return self._announce() if self._terms.background else []
        item = self._items[-1] if self._items else None
        if event.kind == "annotations" and isinstance(item, MessageItem):
            return [told for annotation in read_annotations(event.json) for told in item.annotate(annotation)]
        if event.kind == REDACTED:
            redacted = read_redacted(event.json)
            return [] if redacted is None else [*self._begin(), *self._add_redacted(redacted)]
        done = read_native(event.json)
        return [] if done is None else [*self._begin(), *self._add_native(done)]

    def _add_redacted(self, encrypted: str) -> list[Happening]:
        item = ReasoningItem(self._new_id("rs"), len(self._items))
        item.signature = encrypted
        return [*self._open(item), *item.end("completed")]

    def _add_native(self, done: dict[str, Any]) -> list[Happening]:
        item = NativeItem(done["id"], len(self._items), done)
        return [*self._open(item), *item.end("completed")]

    def _announce(self) -> list[Happening]:
        """In the background it is there before the upstream has said anything."""
        self._created = True
        return [("response.created", {"response": self.to_json()}), ("response.queued", {"response": self.to_json()})]

    def _begin(self) -> list[Happening]:
        if self._begun:
            return []
        created = self._created
        self._created = self._begun = True
        progress: Happening = ("response.in_progress", {"response": self.to_json()})
        return [progress] if created else [("response.created", {"response": self.to_json()}), progress]

    # The content

    def _add_words(self, kind: PartKind, piece: str) -> list[Happening]:
        item = self._items[-1] if self._items else None
        if isinstance(item, MessageItem):
            return item.add(kind, piece)
        message = MessageItem(self._new_id("msg"), len(self._items))
        return [*self._open(message), *message.add(kind, piece)]

    def _add_reasoning(self, piece: str, signature: str | None) -> list[Happening]:
        """A signature ends its item: it is the vendor's proof of that and no other."""
        item = self._items[-1] if self._items else None
        opening: list[Happening] = []
        if not isinstance(item, ReasoningItem) or item.signature is not None:
            item = ReasoningItem(self._new_id("rs"), len(self._items))
            opening = self._open(item)
        told = [*opening, *item.add(piece)]
        if signature is None:
            return told
        item.signature = signature
        return [*told, *item.end("completed")]

    def _start_call(self, event: ToolCallStarted) -> list[Happening]:
        """Calls stay open to the end: an upstream may send the arguments of several by turns."""
        call = CallItem(self._new_id("fc"), len(self._items), call_id=event.id, name=event.name)
        self._calls[event.call] = call
        return self._open(call)

    def _open(self, item: OutputItem) -> list[Happening]:
        """A new item; the one before ends, unless it is a call."""
        ended: list[Happening] = []
        if self._items and not isinstance(self._items[-1], CallItem) and self._items[-1].status == "in_progress":
            ended = self._items[-1].end("completed")
        self._items.append(item)
        return [*ended, item.begin()]

    def _new_id(self, prefix: ItemPrefix) -> str:
        number = self._counts.get(prefix, 0)
        self._counts[prefix] = number + 1
        return item_id(self._stream_id, prefix, number)

    # The end

    def _finish(self, terminal: Finished) -> list[Happening]:
        self._terminal = terminal
        told: list[Happening] = []
        for item in self._items:
            if item.status == "in_progress":
                cut = terminal.reason in _CUT and item is self._items[-1]
                told += item.end("incomplete" if cut else "completed")
        kind = "incomplete" if terminal.reason in _CUT else "completed"
        return [*told, (f"response.{kind}", {"response": self.to_json()})]

    def _fail(self, terminal: Failed) -> list[Happening]:
        """What was being said stays as it is: an item that is done would look like a whole one."""
        self._terminal = terminal
        incomplete: ItemStatus = "incomplete"
        for item in self._items:
            if item.status == "in_progress":
                item.status = incomplete
        return [("error", event_error(terminal)), ("response.failed", {"response": self.to_json()})]

    @property
    def _status(self) -> str:
        match self._terminal:
            case None:
                return "queued" if self._terms.background and not self._begun else "in_progress"
            case Finished(reason=reason):
                return "incomplete" if reason in _CUT else "completed"
            case Failed(code=code):
                return "cancelled" if code == "cancelled" else "failed"

    def _error(self) -> dict[str, str] | None:
        match self._terminal:
            case Failed() as failed if self._status == "failed":
                return response_error(failed)
            case _:
                return None

    def _incomplete(self) -> dict[str, str] | None:
        match self._terminal:
            case Finished(reason=reason) if reason in _CUT:
                return {"reason": _CUT[reason]}
            case _:
                return None


def fold_response(stream_id: str, events: Iterable[Event], *, created_at: float = 0.0) -> dict[str, Any]:
    """The response as a log's events have it; `created_at` holds until they say better."""
    draft = Draft(stream_id, created_at=created_at)
    for event in events:
        draft.add(event)
    return draft.to_json()
