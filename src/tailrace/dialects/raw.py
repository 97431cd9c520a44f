"""The `raw` format: as `token`, but the text of the answer is the data itself."""

from __future__ import annotations

from tailrace.dialects.base import replace_surrogates
from tailrace.dialects.own import OwnDialect
from tailrace.dialects.token import TokenEncoder
from tailrace.events import Event, Failed, Finished, TextDelta


class RawEncoder(TokenEncoder):
    """As `token`, with the text, the finish reason and the error's message as data."""

    def encode(self, seq: int, event: Event, count: int = 1) -> bytes:
        if type(event) is not TextDelta:
            return self._encode_rare(seq, event)
        return b"%b%d\nevent: token\ndata: %b\n\n" % (self._id, seq, _data_lines(event.text))

    def _encode_end(self, seq: int, event: Finished | Failed) -> bytes:
        if isinstance(event, Finished):
            return self._frame(seq, event.reason.encode(), b"done")
        return self._frame(seq, _data_lines(event.message), b"error")


def _data_lines(text: str) -> bytes:
    """Text as the value of `data`: a CR becomes LF, and each LF begins another `data` line.

    A CRLF becomes two, because a delta may end between them and a replay that joins it may not.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = replace_surrogates(text).encode()
    if b"\r" in data:
        data = data.replace(b"\r", b"\n")
    return data.replace(b"\n", b"\ndata: ") if b"\n" in data else data


RAW = OwnDialect("raw", RawEncoder)
