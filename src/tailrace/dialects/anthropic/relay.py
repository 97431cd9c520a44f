"""Anthropic's Messages, handed on from an upstream that speaks them too."""

from __future__ import annotations

from tailrace.dialects.anthropic.encoder import AnthropicEncoder
from tailrace.events import WHOLE_FRAME, Event, Finished, Opaque, Started, TextDelta

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}'


class AnthropicRelay(AnthropicEncoder):
    """An upstream's frames as they came, each with our id; our own where it sent none."""

    relays = True

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self._relayed = False
        self._frame = self._id.replace(b"%", b"%%") + b"%d\n%b\n\n"

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        frame = event.frame
        if frame and type(event) is TextDelta:
            return self._frame % (seq, frame)
        return self._encode_other(seq, event, count)

    def _encode_other(self, seq: int, event: Event, count: int) -> bytes:
        if isinstance(event, Started):
            self._relayed = event.frame is not None
        if isinstance(event, Opaque) and event.kind == WHOLE_FRAME:
            return b""
        if isinstance(event, Finished) and self._relayed:
            return self._frame % (seq, event.frame or _STOP)
        if event.frame is None:
            return super().encode(seq, event, count)
        return self._frame % (seq, event.frame) if event.frame else b""
