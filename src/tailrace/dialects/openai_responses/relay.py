"""OpenAI's responses, handed on from an upstream that speaks them too."""

from __future__ import annotations

from typing import Any, Final

from tailrace.dialects.base import json_bytes
from tailrace.dialects.openai_responses.encoder import OpenAIResponsesEncoder
from tailrace.dialects.openai_responses.errors import event_error
from tailrace.dialects.openai_responses.frames import Exchange, Fields, amend, data_of, parse_event
from tailrace.dialects.openai_responses.merging import merge_response, own_fields
from tailrace.dialects.openai_responses.names import response_id
from tailrace.dialects.openai_responses.terms import TERMS, Terms, read_terms
from tailrace.dialects.openai_responses.usage import usage_json
from tailrace.events import WHOLE_FRAME, Event, Failed, Finished, Opaque, Started, TextDelta, UsageReported

_TEXT: Final = b"event: response.output_text.delta\n"
_NOWHERE: Final = b"\n\n"  # in no frame
_ANNOUNCED: Final = ("response.created", "response.queued")
_ENDS: Final = ("response.completed", "response.incomplete")


class OpenAIResponsesRelay(OpenAIResponsesEncoder):
    """An upstream's events as they came, with our names and ids; our own where it sent none.

    They keep their numbers where these are the ones that are due: the events are counted from 0 without a gap.
    """

    relays = True

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._stream_id = stream_id
        self._relayed = self._keeps_numbers = False
        self._terms: Terms | None = None
        self._usage: UsageReported | None = None
        self._exchange = Exchange(stream_id, kept=False)
        # What the end is written from, where the upstream has told none
        self._told: list[Event] = []
        # The item of which text came last: as the upstream names it, and as we do, wherever nothing else is to change
        self._theirs = self._ours = _NOWHERE
        self._line = self._id.replace(b"%", b"%%") + b"%d\n%b\n\n"

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        frame = event.frame
        if frame and type(event) is TextDelta and self._theirs in frame and frame.startswith(_TEXT):
            self._told.append(event)
            self._number += 1
            return self._line % (seq, frame.replace(self._theirs, self._ours))
        return self._encode_other(seq, event, count)

    def _encode_other(self, seq: int, event: Event, count: int) -> bytes:
        match event:
            case Opaque(kind=kind) if kind == TERMS:
                self._take_terms(event)
            case Opaque(kind=kind) if kind == WHOLE_FRAME:
                return b""
            case Started():
                self._begin(event)
            case UsageReported():
                self._usage = event
            case _:
                pass
        if not self._relayed:
            return super().encode(seq, event, count)
        return self._encode_relayed(seq, event)

    def _take_terms(self, event: Opaque) -> None:
        self._terms = read_terms(event.json)
        self._exchange = Exchange(self._stream_id, kept=self._terms.kept)
        self._told.append(event)

    def _begin(self, started: Started) -> None:
        self._relayed = started.frame is not None
        # From the first on: what a log holds is numbered without a gap too
        self._keeps_numbers = self._number == 0
        if self._keeps_numbers and not self._exchange.kept:
            self._theirs = self._ours = b""

    def _encode_relayed(self, seq: int, event: Event) -> bytes:
        self._told.append(event)
        if event.frame:
            return self._relay(seq, event.frame)
        return self._end(seq, event) if isinstance(event, Finished | Failed) else b""

    def _relay(self, seq: int, frame: bytes) -> bytes:
        data = data_of(frame)
        event = parse_event(data)
        if self._terms is not None and self._terms.background and event.get("type") in _ANNOUNCED:
            return b""  # told of before the upstream was asked
        self._exchange.learn(event)
        self._look_out_for(event.get("item_id"))
        data = amend(self._exchange.place(data), self._renumber(event), self._correct(event))
        name = frame[: frame.index(b"data:")]
        self._number += 1
        return self._line % (seq, name + b"data: " + data.replace(b"\n", b"\ndata: "))

    def _look_out_for(self, item_id: Any) -> None:
        if self._keeps_numbers and isinstance(item_id, str) and (ours := self._exchange.ours(item_id)) is not None:
            self._theirs, self._ours = b'"item_id":' + json_bytes(item_id), b'"item_id":' + ours

    def _renumber(self, event: Fields) -> dict[str, Any]:
        number = event.get("sequence_number")
        due = self._number
        return {} if number == due and type(number) is int else {"sequence_number": due}

    def _correct(self, event: Fields) -> dict[str, Any]:
        """What is to be said otherwise of the response, if the event has it."""
        response = event.get("response")
        if not isinstance(response, dict):
            return {}
        changes = own_fields(response, self._terms)
        if not isinstance(response.get("id"), str):
            changes["id"] = response_id(self._stream_id)
        if event.get("type") in _ENDS and response.get("usage") is None:
            changes["usage"] = usage_json(self._usage)
        return changes

    def _end(self, seq: int, terminal: Finished | Failed) -> bytes:
        """Our own end, where the upstream has told none."""
        response = merge_response(self._stream_id, self._told)
        if isinstance(terminal, Finished):
            return self._frame(b"%d" % seq, f"response.{response['status']}", {"response": response})
        error = self._frame(b"%d.1" % seq, "error", event_error(terminal))
        return error + self._frame(b"%d" % seq, "response.failed", {"response": response})
