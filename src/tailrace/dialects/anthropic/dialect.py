"""Anthropic's Messages as a format that clients read.

The format: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.dialects.anthropic.answer import fold_message
from tailrace.dialects.anthropic.body import read_message
from tailrace.dialects.anthropic.encoder import AnthropicEncoder
from tailrace.dialects.anthropic.errors import write_failure, write_refusal
from tailrace.dialects.anthropic.merging import merge_message
from tailrace.dialects.anthropic.natives import FORMAT
from tailrace.dialects.anthropic.relay import AnthropicRelay
from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.errors import RequestError
from tailrace.events import Event, Failed

_JSON: Final = "application/json"


class Anthropic(Dialect):
    """Messages."""

    name = "anthropic"
    native = FORMAT
    request_id_header = b"request-id"

    def parse(self, body: bytes) -> Call:
        return read_message(body).to_call()

    def encoder(self, stream_id: str) -> Encoder:
        return AnthropicEncoder(stream_id)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(fold_message(stream_id, events))

    def relay(self, stream_id: str) -> Encoder:
        return AnthropicRelay(stream_id)

    def relay_whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return merge_message(stream_id, events)

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return _JSON, write_refusal(error, request_id)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return _JSON, write_failure(failed, request_id)


ANTHROPIC = Anthropic()
