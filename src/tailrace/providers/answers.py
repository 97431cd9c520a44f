"""Reading one upstream's answer: the part that all formats have in common, with no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import msgspec

from tailrace.errors import UpstreamError, WireError
from tailrace.events import FRAME, WHOLE_FRAME, Event, Opaque, Started, UsageReported
from tailrace.providers.base import Finish
from tailrace.providers.framing import BodyFraming, Framing

LAST_FRAME: Final = "last_frame"
"""The kind of a frame that ends the answer, and so belongs to `Finish`."""


class AnswerReader(ABC):
    """Turns the bytes of one answer into events; however the bytes are cut, the events are the same.

    Call `feed` with each piece of the body until `done` is true; if the body ends before, `flush` once; then `finish`.
    Neither `feed` nor `flush` raises: a failure ends the reading after the events that came before it, and `finish`
    raises it. `model` and `now` (Unix time) stand in where the upstream names no model or time.

    Set `keeps_frames` before the first `feed` where the client reads this format: then the events carry the upstream's
    frames (`tailrace.events`), and `finish` the last.
    """

    def __init__(self, framing: Framing, *, model: str, now: float) -> None:
        self.done = False
        self.keeps_frames = False
        self._frame: str | None = None
        self._last: bytes | None = None
        self._framing = framing
        self._split = framing.feed
        self._model = model
        self._created_at = now
        self._begun = False
        self._usage: UsageReported | None = None
        self._failure: UpstreamError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the body and return their events."""
        events: list[Event] = []
        if not self.done:
            try:
                self._read(data, events)
            except (UpstreamError, WireError) as error:
                self._fail(error)
        return events

    def flush(self) -> list[Event]:
        """The body has ended: return the events that only its end makes whole."""
        events: list[Event] = []
        if not self.done:
            try:
                for payload in self._framing.flush():
                    self._take_frame(payload, events)
            except UpstreamError as error:
                self._fail(error)
            except WireError as error:
                # A last frame that is torn is a cut, of which `finish` tells; a whole body has no other frame.
                if isinstance(self._framing, BodyFraming):
                    self._fail(error)
        return events

    def finish(self) -> Finish:
        """How the answer ended. Raises UpstreamError: the failure that was met, or `upstream_cut`."""
        if self._failure is not None:
            raise self._failure
        finish = self._conclude()
        if finish is None:
            raise UpstreamError("upstream_cut", "the stream ended before the answer did")
        return finish if self._last is None else msgspec.structs.replace(finish, frame=self._last)

    @property
    def complete(self) -> bool:
        """Whether the upstream has said, in its format's words, how the answer ended."""
        return self._failure is None and self._conclude() is not None

    @abstractmethod
    def _take(self, payload: bytes, events: list[Event]) -> None:
        """Append the events of one payload. Raises UpstreamError or WireError."""

    @abstractmethod
    def _conclude(self) -> Finish | None:
        """How the answer ended, as far as the upstream has said so."""

    def _read(self, data: bytes, events: list[Event]) -> None:
        for payload in self._split(data):
            self._take_frame(payload, events)
            if self.done:
                return

    def _take_frame(self, payload: bytes, events: list[Event]) -> None:
        """Take one payload, and keep it where frames are kept."""
        first = len(events)
        self._frame = FRAME
        self._take(payload, events)
        if self.keeps_frames:
            self._keep(payload, events, first)

    def _keep(self, payload: bytes, events: list[Event], first: int) -> None:
        """Give the frame to the events from the `first` on, which came of it, by the kind that `_frame` says it is."""
        if isinstance(self._framing, BodyFraming):
            events.append(_bare(WHOLE_FRAME, sound(payload)))
        elif self._frame == LAST_FRAME:
            self._last = self._dress(payload)
            events[first:] = [_without(event) for event in events[first:]]
        elif self._frame is not None:
            events[first:] = _framed(events[first:], self._frame, self._dress(payload))

    def _dress(self, payload: bytes) -> bytes:
        """A payload as the encoder of its format prints it."""
        return sound(payload)

    def _begin(self, events: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            events.append(Started(model=self._model, created_at=self._created_at))

    def _report(self, usage: UsageReported, events: list[Event]) -> None:
        if usage not in (self._usage, UsageReported()):
            self._usage = usage
            events.append(usage)

    def _fail(self, error: UpstreamError | WireError) -> None:
        self.done = True
        self._failure = error if isinstance(error, UpstreamError) else UpstreamError("upstream_invalid", str(error))


def sound(payload: bytes) -> bytes:
    """The payload as text that every reader can decode: what is not UTF-8 as U+FFFD."""
    if payload.isascii():
        return payload
    try:
        payload.decode()
    except UnicodeDecodeError:
        return payload.decode(errors="replace").encode()
    return payload


def _framed(events: list[Event], kind: str, frame: bytes) -> list[Event]:
    """The events of one frame with its bytes in the last that stays where it stands: no start, and no usage."""
    if kind == FRAME and events and not isinstance(events[-1], (Started, UsageReported)):
        return [*map(_without, events[:-1]), msgspec.structs.replace(events[-1], frame=frame)]
    return [*map(_without, events), _bare(kind, frame)]


def _without(event: Event) -> Event:
    """An event that prints nothing itself; usage is not for the log."""
    return event if isinstance(event, UsageReported) else msgspec.structs.replace(event, frame=b"")


def _bare(kind: str, frame: bytes) -> Opaque:
    return Opaque(kind=kind, json="null", frame=frame)
