"""Ollama's chat and generate as formats that clients read.

The format: https://docs.ollama.com/api/chat and https://docs.ollama.com/api/generate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.ollama.answer import fold_answer, timestamp
from tailrace.dialects.ollama.body import read_chat, read_generate
from tailrace.dialects.ollama.encoder import CHAT, GENERATE, OllamaEncoder, Wording
from tailrace.dialects.ollama.errors import write_failure, write_refusal
from tailrace.dialects.ollama.relay import OllamaRelay, merge_lines
from tailrace.errors import RequestError
from tailrace.events import Event, Failed

_JSON: Final = "application/json"
_KIND: Final = "ollama"


class Ollama(Dialect):
    """Lines of JSON, or one JSON object."""

    media_type = "application/x-ndjson"
    has_ids = False

    def __init__(self, name: str, wording: Wording, read: Callable[[bytes], Call]) -> None:
        self.name = name
        self._wording = wording
        self._read = read

    def parse(self, body: bytes) -> Call:
        return self._read(body)

    def encoder(self, stream_id: str) -> Encoder:
        return OllamaEncoder(stream_id, self._wording)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return fold_answer(events, self._wording.place)

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return _JSON, write_refusal(error)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return _JSON, write_failure(failed, asked=self._wording.asked)

    def idle(self, model: str, reason: Literal["load", "unload"], now: float) -> bytes:
        """The answer to a request that only has a model loaded or unloaded; `now` is Unix time in seconds."""
        said = self._wording.place({"content": ""})
        return json_bytes({"model": model, "created_at": timestamp(now), **said, "done": True, "done_reason": reason})


class OllamaChat(Ollama):
    """The chat, whose lines an upstream may have written."""

    native = _KIND

    def parse(self, body: bytes) -> Call:
        call = super().parse(body)
        return msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, reads=_KIND))

    def relay(self, stream_id: str) -> Encoder:
        return OllamaRelay(stream_id, self._wording)

    def relay_whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return merge_lines(events) or self.whole(stream_id, events)


OLLAMA = OllamaChat("ollama", CHAT, read_chat)
OLLAMA_GENERATE = Ollama("ollama_generate", GENERATE, read_generate)
