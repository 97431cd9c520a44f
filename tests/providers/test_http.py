"""The HTTP providers over real sockets: refusals, broken answers, cancelling, and secrets."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.providers.reading import ask
from tests.providers.speaking import FORMATS, KEY, Format, Sink, opened, text_of
from tests.upstream import DEADLINE_S, Script, ScriptedUpstream, Scripts, Step, answer, chunk, in_turn

from tailrace.errors import RequestError, UpstreamError
from tailrace.events import Event, Started, TextDelta
from tailrace.providers.base import Finish
from tailrace.providers.transport import connection
from tailrace.requests import Image, Message

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=FORMATS)
def wire(request: pytest.FixtureRequest) -> Format:
    """Each of the formats."""
    return FORMATS[request.param]


async def run(wire: Format, script: Scripts, sink: Sink | None = None, **fields: Any) -> Finish:
    """Ask an upstream that follows the script."""
    async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url, **fields)) as provider:
        return await provider.run(ask(), Sink() if sink is None else sink)


async def failure(wire: Format, script: Scripts, sink: Sink | None = None, **fields: Any) -> UpstreamError:
    """Ask an upstream that follows the script, and fails."""
    with pytest.raises(UpstreamError) as caught:
        await run(wire, script, sink, **fields)
    return caught.value


class Stop(Exception):  # noqa: N818
    """What a sink of the tests raises."""


class TestAnswers:
    """Answers that are whole."""

    async def test_one_call_for_each_read(self, wire: Format) -> None:
        """The sink gets the events of one socket read in one call, and hears of reads without events too."""
        go_on = asyncio.Event()
        quiet, rest = (b"\n", b"") if wire is FORMATS["ollama"] else (b": ping\n\n", b"")
        sink = Sink()
        heard: list[int] = []

        def listen(events: list[Event], /) -> None:
            sink(events)
            heard.append(len(events))
            go_on.set()

        script: Script = [wire.head(), chunk(quiet), go_on, chunk(text_of(wire) + rest), chunk(b"")]
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            await provider.run(ask(), listen)
        assert heard[0] == 0
        assert len(heard) == 2
        assert sum(isinstance(event, Started) for event in sink.events) == 1

    async def test_connection_is_used_again(self, wire: Format) -> None:
        """A second request goes over the connection that the first one left whole."""
        script = wire.answer(text_of(wire))
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            for _ in range(2):
                await provider.run(ask(), Sink())
            assert upstream.connections == 1

    async def test_gzip(self, wire: Format) -> None:
        """An answer compressed although that was not asked for is read all the same."""
        squeezer = zlib.compressobj(wbits=31)
        body = squeezer.compress(text_of(wire)) + squeezer.flush()
        plain, squeezed = Sink(), Sink()
        await run(wire, wire.answer(text_of(wire)), plain)
        await run(wire, [answer(body, content_type=wire.content_type, content_encoding="gzip")], squeezed)
        assert [event for event in squeezed.events if isinstance(event, TextDelta)] == [
            event for event in plain.events if isinstance(event, TextDelta)
        ]

    async def test_without_a_type(self, wire: Format) -> None:
        """An answer without a content type is taken for the stream that was asked for."""
        assert (await run(wire, [answer(text_of(wire))])).reason == "stop"

    async def test_dropped_after_the_end(self, wire: Format) -> None:
        """A server that said how the answer ended, and then drops the connection, has answered."""
        script: Script = [wire.head(), chunk(wire.half + wire.terminal), Step.RESET]
        assert (await run(wire, script)).reason == "stop"


class TestBrokenAnswers:
    """Answers that are not whole."""

    @pytest.mark.parametrize("end", [[chunk(b"")], [Step.CLOSE], [Step.RESET], [b"zz\r\n"]])
    async def test_cut(self, wire: Format, end: Script) -> None:
        """A silent end, a connection that closes or is reset in mid-token: the text before it, then `upstream_cut`."""
        sink = Sink()
        error = await failure(wire, [wire.head(), chunk(wire.half + wire.half[:20]), *end], sink)
        assert [type(event).__name__ for event in sink.events] == ["Started", "TextDelta"]
        assert (error.code, error.status) == ("upstream_cut", 502)
        assert error.message.startswith("up: ")

    async def test_cut_before_the_head(self, wire: Format) -> None:
        """A connection that closes without an answer is a cut."""
        assert (await failure(wire, [Step.CLOSE])).code == "upstream_cut"

    async def test_nonsense(self, wire: Format, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytes that are not the format end the answer, and the connection: its body's end is not waited for."""
        monkeypatch.setattr(connection, "DRAIN_S", 10 * DEADLINE_S)
        script: Script = [wire.head(), chunk(wire.half + b"data: nonsense\n\n"), Step.STALL]
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            with pytest.raises(UpstreamError, match="up: expected JSON") as caught:
                await provider.run(ask(), Sink())
            assert caught.value.code == "upstream_invalid"
            await upstream.closed_by(1)

    @pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain", "image/png"])
    async def test_another_type(self, wire: Format, content_type: str) -> None:
        """A 200 that is neither the stream nor JSON is refused before its body, which nobody waits for."""
        head = answer(b"", content_type=content_type).replace(b"Content-Length: 0", b"Content-Length: 999")
        error = await failure(wire, [head, Step.STALL])
        assert error.code == "upstream_invalid"
        assert content_type.partition(";")[0] in error.message

    async def test_an_unknown_coding(self, wire: Format) -> None:
        """A compression that was not asked for and can't be undone is refused."""
        script = [answer(b"x", content_type=wire.content_type, content_encoding="br")]
        assert (await failure(wire, script)).code == "upstream_invalid"

    async def test_no_connection(self, wire: Format) -> None:
        """A refused connection is an error that names the provider."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with opened(wire.make(url)) as provider:
            with pytest.raises(UpstreamError, match=r"^up: ") as caught:
                await provider.run(ask(), Sink())
        assert caught.value.code == "upstream_error"


class TestRefusals:
    """Answers with another status than 200."""

    @pytest.mark.parametrize(
        ("status", "code", "told"),
        [
            ("400 Bad Request", "upstream_refused", 400),
            ("401 Unauthorized", "upstream_auth", 502),
            ("404 Not Found", "upstream_refused", 404),
            ("429 Too Many Requests", "upstream_refused", 429),
            ("500 Internal Server Error", "upstream_error", 502),
            ("529 Overloaded", "upstream_error", 529),
        ],
    )
    async def test_status(self, wire: Format, status: str, code: str, told: int) -> None:
        """The status, the vendor's words and its Retry-After come back; the sink hears nothing."""
        sink = Sink()
        body = b'{"error": {"message": "not today"}}'
        error = await failure(wire, [answer(body, status, content_type="application/json", retry_after="7")], sink)
        assert (error.code, error.status, error.retry_after) == (code, told, None if code == "upstream_auth" else 7.0)
        assert error.message == f"up: answered {status[:3]}: not today"
        assert sink.reads == []

    async def test_secrets(self, wire: Format) -> None:
        """What the upstream echoes of the key, or of a configured header, does not leave."""
        echoed = f"{KEY}, secret-in-a-header, tokencanary, Bearer canary-of-another"
        body = f'{{"error": "bad key or header: {echoed}"}}'.encode()
        headers = {"x-extra": "secret-in-a-header", "Authorization": "Token tokencanary"}
        error = await failure(wire, [answer(body, "400 Bad Request")], headers=headers)
        for text in (error.message, str(error), repr(error.args), repr(wire.make("http://127.0.0.1:1"))):
            assert "canary" not in text
            assert "secret-in-a-header" not in text

    async def test_secrets_in_a_stream(self, wire: Format) -> None:
        """What an error in mid-stream echoes of the key does not leave either."""
        body = f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode()
        framed = body + b"\n" if wire is FORMATS["ollama"] else b"data: " + body + b"\n\n"
        error = await failure(wire, wire.answer(wire.half + framed))
        assert (error.code, error.message) == ("upstream_error", "up: bad key ***")

    async def test_endless_refusal(self, wire: Format) -> None:
        """Of a refusal that never ends 64 KiB are read, and no more is waited for."""
        script: Script = [b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"x" * 70_000), Step.STALL]
        error = await failure(wire, script)
        assert error.code == "upstream_error"
        assert len(error.message) < 1100

    async def test_refusal_cut(self, wire: Format) -> None:
        """A refusal whose body breaks off is still that refusal."""
        script: Script = [
            b"HTTP/1.1 429 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk(b'{"error": "slow'),
            Step.RESET,
        ]
        error = await failure(wire, script)
        assert (error.code, error.status) == ("upstream_refused", 429)

    async def test_redirect(self, wire: Format) -> None:
        """A redirect is never followed."""
        async with ScriptedUpstream([answer(b"")]) as other:
            script = [answer(b"", "307 Temporary Redirect", location=f"{other.url}/v1/chat/completions")]
            assert (await failure(wire, script)).code == "upstream_error"
            assert other.connections == 0

    async def test_what_the_format_cannot_say(self, wire: Format) -> None:
        """A request that the format has no words for is refused before anything is sent."""
        picture = Message(role="system", parts=(Image(url="https://example.com/a.png"),))
        async with ScriptedUpstream([]) as upstream, opened(wire.make(upstream.url)) as provider:
            with pytest.raises(RequestError) as caught:
                await provider.run(ask(picture), Sink())
            assert (caught.value.status, caught.value.code) == (400, "unsupported")
            assert upstream.connections == 0


class TestStopping:
    """Answers that nobody wants any more."""

    async def test_cancel(self, wire: Format) -> None:
        """Cancelling closes the upstream's connection at once, in mid-answer and before its head."""
        script = in_turn([Step.STALL], [wire.head(), chunk(wire.half), Step.STALL])
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            for number, reads in ((1, 0), (2, 1)):
                sink = Sink()
                running = asyncio.create_task(provider.run(ask(), sink))
                await upstream.requested(number)
                await sink.has_read(reads)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                await upstream.closed_by(number)
                assert upstream.closed[-1].by_peer

    async def test_sink_raises(self, wire: Format) -> None:
        """What the sink raises comes out unchanged, and closes the connection."""

        def sink(events: list[Event], /) -> None:
            raise Stop

        script: Script = [wire.head(), chunk(wire.half), Step.STALL]
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            with pytest.raises(Stop):
                await provider.run(ask(), sink)
            await upstream.closed_by(1)


class TestModels:
    """The list of models."""

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data": 7, "models": 7}', b"hello", b"<html>"])
    async def test_unreadable(self, wire: Format, body: bytes) -> None:
        """A list in an unknown shape is a named error."""
        async with ScriptedUpstream([answer(body)]) as upstream, opened(wire.make(upstream.url)) as provider:
            with pytest.raises(UpstreamError, match=r"^up: ") as caught:
                await provider.models()
        assert caught.value.code == "upstream_invalid"

    async def test_refused(self, wire: Format) -> None:
        """A refusal is told as any other, without secrets."""
        script = [answer(f'{{"error": "bad key {KEY}"}}'.encode(), "401 Unauthorized")]
        async with ScriptedUpstream(script) as upstream, opened(wire.make(upstream.url)) as provider:
            with pytest.raises(UpstreamError) as caught:
                await provider.models()
        assert (caught.value.code, caught.value.message) == ("upstream_auth", "up: answered 401: bad key ***")


class TestSettings:
    """What a provider is made of."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"base_url": "ftp://example.com"},
            {"headers": {"x": "a\r\nb"}},
            {"headers": {"content-length": "1"}},
            {"api_key": "a\nb"},
        ],
    )
    def test_unusable(self, wire: Format, fields: dict[str, Any]) -> None:
        """A base URL, header or key that no request can carry is refused at once, without quoting it."""
        with pytest.raises(ValueError, match=r"^(base_url|header)") as caught:
            wire.make("http://127.0.0.1:1", **fields)
        assert "a\r\nb" not in str(caught.value)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """An upstream that answers anything with an empty list of every name."""
    async with ScriptedUpstream([answer(b'{"data": [], "models": []}')]) as running:
        yield running


async def test_headers_of_one_s_own(wire: Format, upstream: ScriptedUpstream) -> None:
    """A configured header takes the place of the provider's own, whatever its case."""
    fields = {"headers": {"Authorization": "Custom", "X-Api-Key": "Mine", "x-team": "mill"}}
    async with opened(wire.make(upstream.url, **fields)) as provider:
        assert await provider.models() == []
    headers = upstream.requests[0].headers
    assert (headers["authorization"], headers["x-api-key"], headers["x-team"]) == ("Custom", "Mine", "mill")
