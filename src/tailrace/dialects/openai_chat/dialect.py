"""OpenAI's chat completions as a format that clients read.

The format: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.openai_chat.answer import fold_completion
from tailrace.dialects.openai_chat.body import read_completion, read_fields
from tailrace.dialects.openai_chat.encoder import OpenAIChatEncoder
from tailrace.dialects.openai_chat.errors import write_failure, write_refusal
from tailrace.dialects.openai_chat.merging import merge_completion
from tailrace.dialects.openai_chat.parts import KIND
from tailrace.dialects.openai_chat.relay import OpenAIChatRelay
from tailrace.errors import RequestError
from tailrace.events import Event, Failed

_JSON: Final = "application/json"


class OpenAIChat(Dialect):
    """Chat completions, with the usage at a stream's end or without."""

    native = KIND

    def __init__(self, name: str, *, with_usage: bool, variants: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.variants = variants
        self._with_usage = with_usage

    def parse(self, body: bytes) -> Call:
        asked = read_completion(body)
        return asked.to_call(read_fields(body), dialect=OPENAI_CHAT_USAGE.name if asked.wants_usage else None)

    def encoder(self, stream_id: str) -> Encoder:
        return OpenAIChatEncoder(stream_id, with_usage=self._with_usage)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(fold_completion(stream_id, events))

    def relay(self, stream_id: str) -> Encoder:
        return OpenAIChatRelay(stream_id, with_usage=self._with_usage)

    def relay_whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return merge_completion(stream_id, events)

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return _JSON, write_refusal(error)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return _JSON, write_failure(failed)


OPENAI_CHAT_USAGE = OpenAIChat("openai_chat_usage", with_usage=True)
"""What a body with `stream_options.include_usage` asks for."""

OPENAI_CHAT = OpenAIChat("openai_chat", with_usage=False, variants=frozenset({OPENAI_CHAT_USAGE.name}))
