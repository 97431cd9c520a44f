"""What reading a response costs, beside the cheapest format that there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from tailrace.providers.answers import AnswerReader
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai_responses.events import OpenAIResponsesReader

PIECES: Final = 1000
ROUNDS: Final = 9

CHAT: Final = (
    b'data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_06737a9306",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,'
    b'"obfuscation":"h7Qz0p"}\n\n'
)
RESPONSE: Final = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"item_id":"msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b","output_index":0,"content_index":0,'
    b'"delta":" word","logprobs":[],"obfuscation":"h7Qz0p","sequence_number":4}\n\n'
)


def cost(make: Callable[..., AnswerReader], data: bytes, joined: int) -> float:
    """The CPU seconds of reading so many pieces, so many in each read, each with random letters of its own."""
    reader = make(model="m", now=1.0)
    pieces = [data.replace(b"h7Qz0p", b"%06d" % number) for number in range(PIECES)]
    reads = [b"".join(pieces[start : start + joined]) for start in range(0, PIECES, joined)]
    start = time.process_time()
    for read in reads:
        reader.feed(read)
    return time.process_time() - start


@pytest.mark.parametrize("joined", [1, 10])
def test_a_piece_of_text(joined: int) -> None:
    """A piece of text costs about what it does in chat completions, alone in a read or with others."""
    costs = [(cost(OpenAIReader, CHAT, joined), cost(OpenAIResponsesReader, RESPONSE, joined)) for _ in range(ROUNDS)]
    chat, response = (min(found) for found in zip(*costs, strict=True))
    assert response <= 1.3 * chat
