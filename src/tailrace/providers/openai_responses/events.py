"""Reads the events of a response.

The format: https://platform.openai.com/docs/api-reference/responses-streaming. Event names repeat the payload's `type`,
so only that is read. A whole response is read as if its items had come one by one.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tailrace.errors import WireError
from tailrace.events import (
    Event,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from tailrace.providers.answers import LAST_FRAME, AnswerReader, sound
from tailrace.providers.base import Finish
from tailrace.providers.framing import MAX_BODY, EventFraming, Framing
from tailrace.providers.openai_responses.calls import Calls
from tailrace.providers.openai_responses.failures import failure_of
from tailrace.providers.openai_responses.outputs import (
    PARAGRAPH,
    annotations_of,
    content_of,
    finish_of,
    reasoning_of,
    usage_of,
)
from tailrace.providers.openai_responses.payloads import (
    GLANCES,
    MARKS,
    OUTPUTS,
    PAYLOADS,
    RESPONSES,
    Item,
    Key,
    Payload,
    Response,
    key_of,
    read_event,
    renumber,
    text_of,
)
from tailrace.providers.payloads import UNTIDY, write_json

# The event that ends a response has all of it once more, and the instructions and tools that were asked with.
MAX_EVENT: Final = MAX_BODY

_ENDS: Final = ("completed", "incomplete", "failed", "cancelled")

_FAR_FUTURE: Final = 1e11

_NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_TEXT: Final = b"event: response.output_text.delta\ndata: "
_LF: Final = 0x0A

_glance: Final = GLANCES.decode


class OpenAIResponsesReader(AnswerReader):
    """Turns a response's bytes into events; whole at the event that says so, which has the usage too.

    The encrypted content of a reasoning item is the signature of a `ReasoningDelta` at its end. Log probabilities and
    annotations become an `Opaque` as chat completions have them. Items and events that have no event here become one
    with the payload as it came; its kind is the type of the item, else of the event. What a server did not stream is
    taken from the item when it is done, or from the output at the end. Frames are numbered from 0 without a gap.
    """

    def __init__(self, *, model: str, now: float, nonce: str = "", framing: Framing | None = None) -> None:
        super().__init__(framing or EventFraming(MAX_EVENT), model=model, now=now)
        self._calls = Calls(nonce=nonce)
        self._finish: Finish | None = None
        # The items of which pieces came, and the types of those of which anything did.
        self._streamed: set[Key] = set()
        self._kinds: set[str] = set()
        # The part of a reasoning item that is being told.
        self._part: tuple[Key, str, int | None] | None = None
        # The type and the number of the event that is being read, and the number that is due
        self._name = ""
        self._number: Any = None
        self._due = 0

    def _read(self, data: bytes, events: list[Event]) -> None:
        streamed, keeps = self._streamed, self.keeps_frames
        for payload in self._split(data):
            try:
                piece = _glance(payload)
            except UNTIDY:
                piece = None
            if piece is not None and piece.output_index in streamed and piece.delta:
                events.append(
                    TextDelta(
                        text=piece.delta, frame=self._dress_text(payload, piece.sequence_number) if keeps else None
                    )
                )
                continue
            self._take_frame(payload, events)
            if self.done:
                return

    def _dress_text(self, payload: bytes, number: int | None) -> bytes:
        if number == self._due and payload.isascii() and _LF not in payload:
            self._due += 1
            return _TEXT + payload
        self._name, self._number = "response.output_text.delta", number
        return self._dress(payload)

    def _dress(self, payload: bytes) -> bytes:
        """An event under its name, which its payload's type says too, and with the number that is due."""
        if type(self._number) is not int or self._number != self._due:
            payload = renumber(payload, self._due)
        self._due += 1
        name = b"event: %b\n" % self._name.encode() if _NAME.fullmatch(self._name) else b""
        return name + b"data: " + sound(payload).replace(b"\n", b"\ndata: ")

    def _take(self, payload: bytes, events: list[Event]) -> None:
        # Proxies that also speak chat completions are seen to end on its terminal.
        if payload.strip() == b"[DONE]":
            self._frame = None
            return
        self._take_event(read_event(payload), payload, events)

    def _take_event(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        self._name, self._number = event.type, event.sequence_number
        match event.type:
            case "response.output_item.added":
                self._start_item(event, payload, events)
            case "response.output_item.done":
                self._end_item(event, payload, events)
            case "response.created" | "response.in_progress" | "response.queued":
                self._learn(RESPONSES.read(bytes(event.response) or b"{}"))
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                self._frame = LAST_FRAME
                self._end(RESPONSES.read(bytes(event.response) or b"{}"), event.type.removeprefix("response."), events)
            case "error":
                raise failure_of(event.error or {"message": event.message, "code": event.code})
            case "":
                self._take_body(event, payload, events)
            case kind if kind not in MARKS:
                self._take_piece(event, payload, events)

    def _take_piece(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        match event.type:
            case "response.output_text.delta":
                self._take_text(event, events)
            case "response.function_call_arguments.delta" | "response.function_call_arguments.done":
                self._take_arguments(event, events)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._take_reasoning(event, events)
            case "response.refusal.delta":
                self._take_refusal(event, events)
            case "response.output_text.annotation.added":
                self._tell("message", list(annotations_of([event.annotation])), events)
            case unknown:
                self._tell(unknown, [Opaque(kind=unknown, json=_decode(payload))], events)

    def _take_text(self, event: Payload, events: list[Event]) -> None:
        if text := text_of(event.delta):
            self._tell("message", [TextDelta(text=text)], events, key=key_of(event))
        if event.logprobs:
            # As chat completions have them, the one other format with a place for them.
            logprobs = write_json({"content": event.logprobs, "refusal": None})
            self._tell("message", [Opaque(kind="logprobs", json=logprobs)], events)

    def _take_refusal(self, event: Payload, events: list[Event]) -> None:
        if text := text_of(event.delta):
            self._tell("message", [RefusalDelta(text=text)], events, key=key_of(event))

    def _take_reasoning(self, event: Payload, events: list[Event]) -> None:
        key, text = key_of(event), text_of(event.delta)
        if not text:
            return
        index = event.content_index if event.summary_index is None else event.summary_index
        before, self._part = self._part, (key, event.type, index)
        if before is not None and before[0] == key and before != self._part:
            text = PARAGRAPH + text
        self._tell("reasoning", [ReasoningDelta(text=text)], events, key=key)

    def _take_arguments(self, event: Payload, events: list[Event]) -> None:
        told: list[Event] = []
        if event.type.endswith(".done"):
            self._calls.complete(key_of(event), event.arguments, told)
        elif piece := text_of(event.delta):
            self._calls.add(key_of(event), piece, told)
        self._tell("function_call", told, events)

    def _start_item(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        key, item = key_of(event), event.item or Item()
        self._streamed.discard(key)
        match item.type:
            case "message" | "reasoning":
                pass
            case "function_call":
                told: list[Event] = []
                self._calls.start(key, item, told)
                self._tell("function_call", told, events)
            case kind:
                self._tell(kind, [Opaque(kind=kind or event.type, json=_decode(payload))], events)

    def _end_item(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        key, item = key_of(event), event.item or Item()
        streamed = key in self._streamed
        self._streamed.discard(key)
        told: list[Event] = []
        match item.type:
            case "message":
                told += [] if streamed else content_of(item)
            case "reasoning":
                told += reasoning_of(item, streamed=streamed)
            case "function_call":
                self._calls.end(key, item, told)
            case kind:
                told.append(Opaque(kind=kind or event.type, json=_decode(payload)))
        self._tell(item.type, told, events)

    def _tell(self, kind: str, told: list[Event], events: list[Event], *, key: Key = None) -> None:
        if told:
            self._begin(events)
            self._kinds.add(kind)
            if key is not None:
                self._streamed.add(key)
            events += told

    def _learn(self, response: Response) -> None:
        if isinstance(response.model, str) and response.model:
            self._model = response.model
        if isinstance(response.created_at, int | float) and 0 < response.created_at < _FAR_FUTURE:
            self._created_at = float(response.created_at)

    def _take_body(self, event: Payload, payload: bytes, events: list[Event]) -> None:
        """A payload without a type: a whole response where a stream was asked for, or an error."""
        if event.object == "response":
            # No event of the format, so nothing to be handed on as one
            self._frame = None
            self._end(RESPONSES.read(payload), "", events)
        elif event.error or event.message:
            raise failure_of(event.error or {"message": event.message, "code": event.code})
        else:
            raise WireError("an event without a type")

    def _end(self, response: Response, said: str, events: list[Event]) -> None:
        """The response as it is in the end; `said` is the event's own word for how that is."""
        self._learn(response)
        try:
            self._take_output(response, events)
        except WireError:
            if not self._begun:
                raise
        if response.usage is not None:
            self._report(usage_of(response.usage), events)
        status = response.status if response.status in _ENDS else said
        if status in {"failed", "cancelled"} or response.error:
            raise failure_of(response.error, otherwise=f"the response is {status or 'broken'}")
        if status:
            self._begin(events)
            self._calls.check()
            self._finish = finish_of(response, status, called=len(self._calls) > 0)
            self.done = True

    def _take_output(self, response: Response, events: list[Event]) -> None:
        """What is in the output of kinds of which nothing came: all of it, where nothing was streamed."""
        came = frozenset(self._kinds)
        self._streamed.clear()
        for index, item in enumerate(OUTPUTS.read(bytes(response.output) or b"[]")):
            payload = b'{"type":"response.output_item.done","output_index":%d,"item":%b}' % (index, bytes(item))
            event = PAYLOADS.read(payload)
            if event.item is not None and event.item.type not in came:
                self._end_item(event, payload, events)

    def _conclude(self) -> Finish | None:
        return self._finish


def _decode(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")
