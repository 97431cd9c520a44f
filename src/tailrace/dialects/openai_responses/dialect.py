"""OpenAI's Responses API as a format that clients read.

The format: https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tailrace.dialects.base import Call, Dialect, Encoder, json_bytes
from tailrace.dialects.openai_chat.errors import write_refusal
from tailrace.dialects.openai_responses.body import read_response
from tailrace.dialects.openai_responses.draft import fold_response
from tailrace.dialects.openai_responses.encoder import OpenAIResponsesEncoder
from tailrace.dialects.openai_responses.errors import write_failure
from tailrace.dialects.openai_responses.merging import merge_response
from tailrace.dialects.openai_responses.natives import KIND
from tailrace.dialects.openai_responses.relay import OpenAIResponsesRelay
from tailrace.errors import RequestError
from tailrace.events import Event, Failed

_JSON: Final = "application/json"


class OpenAIResponses(Dialect):
    """Responses, streamed or whole. What is stored of them is not this file's matter."""

    name = "openai_responses"
    joins = False
    native = KIND

    def parse(self, body: bytes) -> Call:
        asked = read_response(body)
        return asked.to_call((), asked.read_input({}), whole=asked.conversation is None)

    def encoder(self, stream_id: str) -> Encoder:
        return OpenAIResponsesEncoder(stream_id)

    def whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(fold_response(stream_id, events))

    def relay(self, stream_id: str) -> Encoder:
        return OpenAIResponsesRelay(stream_id)

    def relay_whole(self, stream_id: str, events: Sequence[Event]) -> bytes:
        return json_bytes(merge_response(stream_id, events))

    def refusal(self, error: RequestError, request_id: str) -> tuple[str, bytes]:
        return _JSON, write_refusal(error)

    def failure(self, failed: Failed, events: Sequence[Event], request_id: str) -> tuple[str, bytes]:
        return _JSON, write_failure(failed)


OPENAI_RESPONSES = OpenAIResponses()


def find_number(stream_id: str, events: Iterable[Event], number: int) -> tuple[int, int] | None:
    """The place after the event with this number: an entry, and how many frames of the one that follows it.

    None where no event has that number yet.
    """
    encoder = OpenAIResponsesRelay(stream_id)
    before = 0
    for seq, event in enumerate(events, 1):
        frames = encoder.encode(seq, event).count(b"\n\n")
        if number < before + frames:
            taken = number + 1 - before
            return (seq, 0) if taken == frames else (seq - 1, taken)
        before += frames
    return None
