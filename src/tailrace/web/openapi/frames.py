"""One frame of each format, as an example."""

from __future__ import annotations

from typing import Final

_CHUNK: Final = (
    '{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"simulated",'
    '"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]'
)
_PLACE: Final = '"sequence_number":4,"item_id":"msg_00000","output_index":0,"content_index":0'
_DELTA: Final = f'{{"type":"response.output_text.delta",{_PLACE},"delta":"Hi","logprobs":[]}}'
FRAMES: Final = {
    "delta": 'event: message\ndata: {"delta":"Hi","tokens":1,"model":"simulated","chunk_index":1,"done":false}',
    "token": 'event: token\ndata: {"token":"Hi","done":false}',
    "raw": "event: token\ndata: Hi",
    "meta": 'data: {"event":"token","token":"Hi"}',
    "openai_chat": f"data: {_CHUNK}}}",
    "openai_chat_usage": f'data: {_CHUNK},"usage":null}}',
    "openai_responses": f"event: response.output_text.delta\ndata: {_DELTA}",
    "anthropic": "event: content_block_delta\n"
    'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}',
    "ai_sdk": 'data: {"type":"text-delta","id":"1","delta":"Hi"}',
    "ai_sdk_continued": 'data: {"type":"text-delta","id":"1","delta":"Hi"}',
}
_SAME: Final = '"model":"simulated","created_at":"2023-11-14T22:13:20.000000Z"'
LINES: Final = {
    "ollama": f'{{{_SAME},"message":{{"role":"assistant","content":"Hi"}},"done":false}}',
    "ollama_generate": f'{{{_SAME},"response":"Hi","done":false}}',
}
"""The same of the formats that are lines of JSON."""
