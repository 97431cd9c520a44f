"""`tailrace serve` before upstreams that fail: what its readers are told, from one process to another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.reader import Reader, ask
from tests.server import RunningServer, running_server
from tests.upstream import Script, ScriptedUpstream, Scripts, Step, answer, chunk, chunked_head

pytestmark = pytest.mark.usefixtures("no_leaks")

KEY = "sk-canary-0123456789abcdef"
BODY = {"message": "Hi", "model": "openai/m"}
TIMES = """
[stream]
connect_s = 0.5
first_token_s = 0.5
idle_s = 0.5
total_s = 2
max_answer = 4000
retries = 0
"""


def said(text: str) -> bytes:
    """A chunk of an OpenAI stream."""
    return chunk(f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}\n\n'.encode())


@asynccontextmanager
async def before(script: Scripts) -> AsyncIterator[tuple[RunningServer, ScriptedUpstream]]:
    """A server of its own, before an upstream with this script."""
    async with ScriptedUpstream(script) as upstream:
        env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{upstream.url}/v1"}
        async with running_server(env=env, config=TIMES) as server:
            yield server, upstream


FAULTS: list[tuple[str, Script, str]] = [
    ("reset in mid-token", [said("lo")[:30], Step.RESET], "upstream_cut"),
    ("closed in mid-token", [said("lo")[:30], Step.CLOSE], "upstream_cut"),
    ("silent end", [chunk(b"")], "upstream_cut"),
    ("stall", [Step.STALL], "idle_timeout"),
    ("too long", [said("x" * 5000), Step.STALL], "too_long"),
    ("nonsense", [chunk(b"data: {]\n\n"), Step.STALL], "upstream_invalid"),
]
FORMATS = ("/v1/chat/stream", "/chat/stream", "/chat/stream-meta")


@pytest.mark.parametrize(("fault", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_an_answer_that_breaks_off_is_never_said_to_be_whole(fault: Script, code: str) -> None:
    """Dead in mid-token, ended without a word, stalled, too long or senseless: in every format the reader gets what
    there was, then an error event with the code, no `[DONE]`, no finish reason; the text is kept."""
    moments = [asyncio.Event() for _ in FORMATS]
    turn = iter(moments)
    async with before(lambda _: [chunked_head() + said("Hel"), next(turn), *fault]) as (server, _):
        for moment, target in zip(moments, FORMATS, strict=True):
            async with Reader(server.url) as reader:
                await reader.ask("POST", target, BODY)
                await reader.until(b"Hel")
                moment.set()
                told = await reader.whole()
            assert (told.status, told.objects[-1]["code"]) == (200, code)
            assert b"[DONE]" not in told.body
            assert b"finish_reason" not in told.body
            state = (await ask(server.url, "GET", f"/v1/streams/{told.headers['x-tailrace-stream']}")).json()
            assert (state["status"], state["text"], state["error"]["code"]) == ("failed", "Hel", code)
            assert "finish_reason" not in state
            assert state["usage"]["source"] in ("counted", "estimated")
            assert state["usage"]["output_tokens"] > 0
        assert KEY not in json.dumps(server.logs())


async def test_a_whole_answer_that_breaks_off_is_an_error_with_its_text() -> None:
    """Who asked for one JSON gets an HTTP error that has the text so far."""
    async with before([chunked_head() + said("Hel"), Step.RESET]) as (server, _):
        whole = await ask(server.url, "POST", "/v1/chat", BODY)
    assert (whole.status, whole.json()["code"], whole.json()["text"]) == (502, "upstream_cut", "Hel")


REFUSALS: list[tuple[Script, int, str]] = [
    ([Step.CLOSE], 502, "upstream_cut"),
    ([answer(b'{"error":{"message":"bad key %b"}}' % KEY.encode(), "401 No")], 502, "upstream_auth"),
    ([answer(b"", "404 No")], 404, "upstream_refused"),
    ([answer(b"", "429 Slow", retry_after="9")], 429, "upstream_refused"),
    ([answer(b"", "500 Oh")], 502, "upstream_error"),
    ([answer(b"", "302 There", location="http://127.0.0.1:1/")], 502, "upstream_error"),
    ([chunked_head(), Step.STALL], 504, "first_token_timeout"),
    ([answer(b"<html>", content_type="text/html")], 502, "upstream_invalid"),
]


async def test_a_refusal_before_the_first_token_is_a_status() -> None:
    """What goes wrong before the first token is an HTTP error with its status; no secret is in it or in the log."""
    turn = iter([script for script, _, _ in REFUSALS])
    async with before(lambda _: next(turn)) as (server, _):
        for _, status, code in REFUSALS:
            refused = await ask(server.url, "POST", "/v1/chat/stream", BODY)
            assert (refused.status, refused.json()["code"]) == (status, code)
            assert KEY not in refused.body.decode()
            assert refused.headers.get("retry-after") == ("9" if status == 429 else None)
        assert KEY not in json.dumps(server.logs())


async def test_an_upstream_that_is_not_there() -> None:
    """A refused connection, and a name that nobody has, are 502 `upstream_error`; the server goes on."""
    async with ScriptedUpstream([]) as upstream:
        gone = upstream.url
    config = (
        TIMES
        + f"""
[providers.gone]
kind = "openai"
base_url = "{gone}"
[providers.nameless]
kind = "openai"
base_url = "http://nobody.invalid"
"""
    )
    async with running_server(config=config) as server:
        for model in ("gone/m", "nameless/m"):
            refused = await ask(server.url, "POST", "/v1/chat/stream", {**BODY, "model": model})
            assert (refused.status, refused.json()["code"]) == (502, "upstream_error")
        assert (await ask(server.url, "GET", "/health")).status == 200


async def test_a_fallback_answers_in_its_place() -> None:
    """A model whose provider fails before the first token is answered by the next of its list."""
    async with ScriptedUpstream([answer(b"", "503 No")]) as upstream:
        config = (
            TIMES
            + """
[models.best]
provider = "openai"
model = "m"
fallback = ["simulated/n3-d0"]
"""
        )
        env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.url}
        async with running_server(env=env, config=config) as server:
            told = await ask(server.url, "POST", "/v1/chat", {"message": "Hi", "model": "best"})
    assert told.status == 200
    assert told.json()["model"] == "simulated/n3-d0"


@pytest.mark.parametrize("farewell", ["leave", "reset", "half_close"])
async def test_a_reader_that_leaves_costs_no_more_tokens(farewell: str) -> None:
    """Between processes too the upstream's connection is closed within 100 ms of the reader's leaving, before the
    first token and in the middle: the best of three."""
    silent: Script = [chunked_head(), Step.STALL]
    talking: Script = [chunked_head() + said("Hel"), Step.STALL]
    turn = iter([silent, talking] * 3)
    delays: dict[str, list[float]] = {"before": [], "middle": []}
    async with before(lambda _: next(turn)) as (server, upstream):
        for number in range(1, 7):
            async with Reader(server.url) as reader:
                await reader.ask("POST", "/v1/chat/stream", BODY)
                await upstream.requested(number)
                if number % 2 == 0:
                    await reader.until(b"Hel")
                left_at = asyncio.get_running_loop().time()
                getattr(reader, farewell)()
                await upstream.closed_by(number)
            delays["before" if number % 2 else "middle"].append(upstream.closed[-1].at - left_at)
    assert max(min(measured) for measured in delays.values()) < 0.1
    assert all(closed.by_peer for closed in upstream.closed)


async def test_tokens_arrive_apart_in_time() -> None:
    """With the simulated model's pace of 20 ms each token comes by itself, not all in one lump."""
    async with running_server() as server:
        told = await ask(server.url, "POST", "/v1/chat/stream", {"message": "Hi", "model": "simulated/n20-d20"})
    assert len(told.pieces) >= 10
    assert told.pieces[-1][0] - told.pieces[0][0] > 0.2


async def test_a_body_of_a_hundred_thousand_messages() -> None:
    """A long conversation is taken, and one over the cap is refused while health still answers."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}] * 100_000
    async with running_server("--log-level", "warning") as server:
        long = await ask(server.url, "POST", "/v1/chat", {"messages": messages, "model": "simulated/n1-d0"})
        assert long.status == 200
        async with Reader(server.url) as reader:
            length = str((32 << 20) + 1)
            await reader.ask(
                "POST", "/v1/chat", b"", headers={"content-type": "application/json", "content-length": length}
            )
            assert (await reader.whole()).status == 413
        assert (await ask(server.url, "GET", "/health")).status == 200
        assert server.logs() == []
