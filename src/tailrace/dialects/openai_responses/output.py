"""The output items of a response as they grow, each with the events that tell a client of it.

The format: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, Literal, TypeAlias

Happening: TypeAlias = tuple[str, dict[str, Any]]
"""An event before it has its number: its type, and its other fields."""

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
PartKind: TypeAlias = Literal["output_text", "refusal"]

_TEXT_FIELDS: Final[dict[PartKind, str]] = {"output_text": "text", "refusal": "refusal"}


class OutputItem(ABC):
    """One item: `place` is its index in the output."""

    def __init__(self, item_id: str, place: int) -> None:
        self.id = item_id
        self.place = place
        self.status: ItemStatus = "in_progress"
        self._where = {"item_id": item_id, "output_index": place}

    def begin(self) -> Happening:
        """It is there, empty."""
        return "response.output_item.added", {"output_index": self.place, "item": self.to_json()}

    def end(self, status: ItemStatus) -> list[Happening]:
        """Nothing more will be added to it."""
        parts = self._end_parts()
        self.status = status
        return [*parts, ("response.output_item.done", {"output_index": self.place, "item": self.to_json()})]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As far as it came."""

    @abstractmethod
    def _end_parts(self) -> list[Happening]: ...


class ContentPart:
    """A message's piece of one kind, text or refusal."""

    def __init__(self, kind: PartKind) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.annotations: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def to_json(self) -> dict[str, Any]:
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": self.text}
        return {"type": "output_text", "annotations": list(self.annotations), "logprobs": [], "text": self.text}


class MessageItem(OutputItem):
    """What the model says to the user."""

    def __init__(self, item_id: str, place: int) -> None:
        super().__init__(item_id, place)
        self.parts: list[ContentPart] = []

    def add(self, kind: PartKind, piece: str) -> list[Happening]:
        """A piece of text or of a refusal; where the last part is of the other kind, a new one begins."""
        opening = [] if self.parts and self.parts[-1].kind == kind else self._begin_part(kind)
        self.parts[-1].pieces.append(piece)
        return [*opening, (f"response.{kind}.delta", {**self._at(), "delta": piece, **_logprobs(kind)})]

    def annotate(self, annotation: dict[str, Any]) -> list[Happening]:
        """A citation in the last part, where that is text."""
        if not self.parts or self.parts[-1].kind != "output_text":
            return []
        annotations = self.parts[-1].annotations
        annotations.append(annotation)
        told = {**self._at(), "annotation_index": len(annotations) - 1, "annotation": annotation}
        return [("response.output_text.annotation.added", told)]

    def to_json(self) -> dict[str, Any]:
        content = [part.to_json() for part in self.parts]
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def _at(self) -> dict[str, Any]:
        return {**self._where, "content_index": len(self.parts) - 1}

    def _begin_part(self, kind: PartKind) -> list[Happening]:
        ended = self._end_parts()
        self.parts.append(ContentPart(kind))
        return [*ended, ("response.content_part.added", {**self._at(), "part": self.parts[-1].to_json()})]

    def _end_parts(self) -> list[Happening]:
        if not self.parts:
            return []
        part = self.parts[-1]
        done = {**self._at(), _TEXT_FIELDS[part.kind]: part.text, **_logprobs(part.kind)}
        return [
            (f"response.{part.kind}.done", done),
            ("response.content_part.done", {**self._at(), "part": part.to_json()}),
        ]


class ReasoningItem(OutputItem):
    """What the model thinks; the vendor's signature is its `encrypted_content`, by which it can be handed back."""

    def __init__(self, item_id: str, place: int) -> None:
        super().__init__(item_id, place)
        self.signature: str | None = None
        self._pieces: list[str] = []

    def add(self, piece: str) -> list[Happening]:
        """A piece of it."""
        if not piece:
            return []
        where = {**self._where, "summary_index": 0}
        opening: list[Happening] = []
        if not self._pieces:
            opening = [("response.reasoning_summary_part.added", {**where, "part": _summary("")})]
        self._pieces.append(piece)
        return [*opening, ("response.reasoning_summary_text.delta", {**where, "delta": piece})]

    def to_json(self) -> dict[str, Any]:
        summary = [_summary("".join(self._pieces))] if self._pieces else []
        signed = {} if self.signature is None else {"encrypted_content": self.signature}
        return {"id": self.id, "type": "reasoning", "status": self.status, "summary": summary, **signed}

    def _end_parts(self) -> list[Happening]:
        if not self._pieces:
            return []
        where, text = {**self._where, "summary_index": 0}, "".join(self._pieces)
        return [
            ("response.reasoning_summary_text.done", {**where, "text": text}),
            ("response.reasoning_summary_part.done", {**where, "part": _summary(text)}),
        ]


class CallItem(OutputItem):
    """A call of one of the client's functions."""

    def __init__(self, item_id: str, place: int, *, call_id: str, name: str) -> None:
        super().__init__(item_id, place)
        self._call_id = call_id
        self._name = name
        self._pieces: list[str] = []

    def add(self, piece: str) -> list[Happening]:
        """A piece of its arguments."""
        self._pieces.append(piece)
        return [("response.function_call_arguments.delta", {**self._where, "delta": piece})]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": self.status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._pieces),
        }

    def _end_parts(self) -> list[Happening]:
        done = {**self._where, "arguments": "".join(self._pieces)}
        return [("response.function_call_arguments.done", done)]


class NativeItem(OutputItem):
    """What an upstream of this format did itself, such as a search, as it told of it."""

    def __init__(self, item_id: str, place: int, told: dict[str, Any]) -> None:
        super().__init__(item_id, place)
        self._told = told

    def to_json(self) -> dict[str, Any]:
        return self._told

    def _end_parts(self) -> list[Happening]:
        return []


def _summary(text: str) -> dict[str, str]:
    return {"type": "summary_text", "text": text}


def _logprobs(kind: PartKind) -> dict[str, Any]:
    return {"logprobs": []} if kind == "output_text" else {}
