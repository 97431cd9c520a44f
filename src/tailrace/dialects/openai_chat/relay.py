"""OpenAI's chat completions, handed on from an upstream that speaks them too."""

from __future__ import annotations

from typing import Final

from tailrace.dialects.openai_chat.encoder import OpenAIChatEncoder
from tailrace.events import USAGE_FRAME, WHOLE_FRAME, Event, Finished, Opaque, Started, TextDelta

_LF: Final = 0x0A


class OpenAIChatRelay(OpenAIChatEncoder):
    """An upstream's chunks as they came, each with our id; our own where it sent none, and always our own end."""

    relays = True

    def __init__(self, stream_id: str, *, with_usage: bool) -> None:
        super().__init__(stream_id, with_usage=with_usage)
        self._relayed = False
        self._frame = self._id.replace(b"%", b"%%") + b"%d\ndata: %b\n\n"

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        frame = event.frame
        if frame and type(event) is TextDelta and _LF not in frame:
            return self._frame % (seq, frame)
        return self._encode_other(seq, event, count)

    def _encode_other(self, seq: int, event: Event, count: int) -> bytes:
        if isinstance(event, Started):
            self._relayed = event.frame is not None
            return super().encode(seq, event, count)
        if isinstance(event, Opaque) and self._leaves_out(event.kind):
            return b""
        if isinstance(event, Finished) and self._relayed:
            return self._end(seq)
        if event.frame is None:
            return super().encode(seq, event, count)
        return self._relay(seq, event.frame)

    def _leaves_out(self, kind: str) -> bool:
        """A document is not for a stream, and usage only for those who ask."""
        return kind == WHOLE_FRAME or (kind == USAGE_FRAME and not self._with_usage)

    def _relay(self, seq: int, frame: bytes) -> bytes:
        # Data of several lines is rare, and may not break the frame
        return self._frame % (seq, frame.replace(b"\n", b"\ndata: ")) if frame else b""

    def _end(self, seq: int) -> bytes:
        """What the upstream did not say of usage, and the end."""
        told = self._usage is not None and self._usage.source == "reported"
        usage = b"" if told or not self._with_usage else self._write_usage(b"%d.1") % seq
        return usage + self._write_done(seq)
