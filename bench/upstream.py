"""The upstream that every server stands before: `/v1/chat/completions`, scripted by the model's name.

Run as `python -m bench.upstream`: it prints its port as a line, and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import cast

import httptools
import msgspec
import uvloop

from bench import wire
from bench.errors import ScriptError
from bench.script import Script, parse_script

_GOLDEN = 0.618033988749895
_WIDEST_PHASE_MS = 50
_BACKLOG = 4096
_FRAMES_A_TURN = 64


class _Question(msgspec.Struct):
    model: str
    stream: bool = False


_decode_question = msgspec.json.Decoder(_Question).decode
_counter = itertools.count()


def first_delay_ms(delay_ms: int, turn: int) -> float:
    """When the first token of the `turn`-th paced answer is due: even phases, so that streams don't march in step."""
    return turn * _GOLDEN % 1 * min(delay_ms, _WIDEST_PHASE_MS)


class _Sender:
    """Sends frames in order, each by a call of its own, as far as the socket takes them.

    uvloop joins what a turn of its loop writes, and a server would then see tokens in lumps that no model sends;
    so this writes to the socket itself, and the connection's transport only reads.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._waiting: deque[bytes] = deque()
        self._blocked = False
        self._resting = False

    def send(self, frames: Iterable[bytes]) -> None:
        """Send these after all that were given before."""
        self._waiting.extend(frames)
        if not (self._blocked or self._resting):
            self._send_some()

    def stop(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self._unblock()
        self._socket.close()

    def _send_some(self) -> None:
        self._resting = False
        waiting = self._waiting
        for _ in range(min(len(waiting), _FRAMES_A_TURN)):
            try:
                sent = self._socket.send(waiting[0])
            except BlockingIOError:
                self._block()
                return
            except ConnectionError:
                waiting.clear()
                return
            if sent == len(waiting[0]):
                waiting.popleft()
            else:
                waiting[0] = waiting[0][sent:]
        if waiting:
            self._resting = True
            self._loop.call_soon(self._send_some)

    def _block(self) -> None:
        self._blocked = True
        self._loop.add_writer(self._socket, self._send_after_block)

    def _send_after_block(self) -> None:
        self._unblock()
        self._send_some()

    def _unblock(self) -> None:
        if self._blocked:
            self._loop.remove_writer(self._socket)
            self._blocked = False


class _Pace:
    """Sends the tokens of one answer on time, by a schedule that no late token moves."""

    def __init__(self, sender: _Sender, script: Script, delay_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._script = script
        self._heads, self._tail = wire.token_halves(script)
        self._delay = delay_ms / 1000
        self._due = self._loop.time() + first_delay_ms(delay_ms, next(_counter)) / 1000
        self._sent = 0
        self._timer = self._loop.call_at(self._due, self._send_next)

    def stop(self) -> None:
        """Send nothing more."""
        self._timer.cancel()

    def _send_next(self) -> None:
        rest = wire.stamp_digits(wire.stamp()) + self._tail
        heads = self._heads[self._sent : self._sent + self._script.lump]
        lump = b"".join([head + rest for head in heads])
        self._sender.send((lump,) if self._sent else (wire.OPENING, lump))
        self._sent += len(heads)
        if self._sent == self._script.tokens:
            self._sender.send(wire.closing(self._sent))
            return
        self._due += self._delay
        self._timer = self._loop.call_at(self._due, self._send_next)


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _sender: _Sender

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._pace: _Pace | None = None
        self._target = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sender = _Sender(_copy_socket(self._transport))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse(400, str(error))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pace is not None:
            self._pace.stop()
        self._sender.stop()

    def on_message_begin(self) -> None:
        self._target = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_method() != b"POST" or self._target != b"/v1/chat/completions":
            self._refuse(404, "only POST /v1/chat/completions is served here")
            return
        try:
            question = _decode_question(b"".join(self._body))
            script = parse_script(question.model)
        except (msgspec.MsgspecError, ScriptError) as error:
            self._refuse(404, str(error))
            return
        self._answer(script) if question.stream else self._refuse(400, "only streams are served here")

    def _answer(self, script: Script) -> None:
        if script.delay_ms is None:
            self._sender.send(wire.burst_frames(script))
        else:
            self._pace = _Pace(self._sender, script, script.delay_ms)

    def _refuse(self, status: int, message: str) -> None:
        body = msgspec.json.encode({"error": {"message": message, "type": "invalid_request_error"}})
        head = b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._sender.send([head % (status, len(body)) + body])


def _copy_socket(transport: asyncio.Transport) -> socket.socket:
    copy = socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM)
    copy.setblocking(False)
    copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return copy


async def serve() -> None:
    """Serve until the standard input ends, as it does when whoever started this process is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    left = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), left.set)
    await left.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
