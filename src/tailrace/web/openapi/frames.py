"""One frame of each format, as an example."""

from __future__ import annotations

from typing import Final

_CHUNK: Final = (
    '{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"simulated",'
    '"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]'
)
FRAMES: Final = {
    "delta": 'event: message\ndata: {"delta":"Hi","tokens":1,"model":"simulated","chunk_index":1,"done":false}',
    "token": 'event: token\ndata: {"token":"Hi","done":false}',
    "raw": "event: token\ndata: Hi",
    "meta": 'data: {"event":"token","token":"Hi"}',
    "openai_chat": f"data: {_CHUNK}}}",
    "openai_chat_usage": f'data: {_CHUNK},"usage":null}}',
}
