"""The bytes of the upstream's answers: OpenAI's chat completion chunks, each its own HTTP chunk.

A token's text is `t<number>@<microseconds>;`: its number in the answer, from 1, and the monotonic clock when it
was written, 0 where the answer was made in advance. No character of it is escaped in JSON, so it can be found
again in any server's format (see `bench.tokens`). https://platform.openai.com/docs/api-reference/chat-streaming
"""

import time
from functools import lru_cache

from bench.script import Script

_CHUNK = (
    b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}],"usage":null}'
)
_USAGE = (
    b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d,"total_tokens":%d}}'
)
_STAMP = b"%015d"


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _frame(payload: bytes) -> bytes:
    return _http_chunk(b"data: " + payload + b"\n\n")


OPENING = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
) + _frame(_CHUNK % (b'{"role":"assistant","content":""}', b"null"))
_FINISH = _frame(_CHUNK % (b"{}", b'"stop"'))
_DONE = _frame(b"[DONE]") + _http_chunk(b"")


def stamp() -> int:
    """The time in microseconds, on the clock that all processes of a machine share."""
    return time.monotonic_ns() // 1000


def token_frame(number: int, stamped: int) -> bytes:
    """One token of an answer."""
    content = b'{"content":"t%d@%b;"}' % (number, _STAMP % stamped)
    return _frame(_CHUNK % (content, b"null"))


def closing(tokens: int) -> list[bytes]:
    """All that follows an answer's last token: the finish reason, the usage, `[DONE]`."""
    return [_FINISH, _frame(_USAGE % (tokens, tokens + 1)), _DONE]


@lru_cache(maxsize=16)
def burst_frames(script: Script) -> list[bytes]:
    """The frames of an answer that comes at once, made on first use."""
    tokens = [token_frame(number, 0) for number in range(1, script.tokens + 1)]
    return [OPENING, *tokens, *closing(script.tokens)]


@lru_cache(maxsize=16)
def token_halves(script: Script) -> tuple[list[bytes], bytes]:
    """The bytes before each token's stamp, in order, and those after any, so that a paced token costs one join."""
    halves = [token_frame(number, 0).split(_STAMP % 0) for number in range(1, script.tokens + 1)]
    return [before for before, _ in halves], halves[0][1]


def stamp_digits(stamped: int) -> bytes:
    """A stamp as it stands in a token."""
    return _STAMP % stamped
