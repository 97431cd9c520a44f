"""One row for each generation, whatever provider and whatever end, with the tokens that its upstream truly sent."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import pytest_asyncio
from tests.reader import Reader
from tests.server import RunningServer, running_server
from tests.system.books import Row, read_rows
from tests.system.customer import ADMIN_KEY, Customer, new_customer
from tests.system.plays import PLAYERS, Play, Player, Scene
from tests.system.stage import Stage
from tests.waiting import eventually, until

from tailrace.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = """
[providers.langchain]
kind = "langchain"
target = "tests.system.performer:performer"
[models.priced-openai]
provider = "openai"
model = "m"
price = { input = 0, output = 1_000_000 }
[models.priced-anthropic]
provider = "anthropic"
model = "m"
price = { input = 0, output = 1_000_000 }
[models.priced-ollama]
provider = "ollama"
model = "m"
price = { input = 0, output = 1_000_000 }
[models.priced-simulated]
provider = "simulated"
model = "n8-d0-s8"
price = { input = 0, output = 1_000_000 }
[models.priced-langchain]
provider = "langchain"
model = "performer"
price = { input = 0, output = 1_000_000 }
[stream]
retries = 0
"""
PATIENT: Final = ""
HASTY: Final = "first_token_s = 1\nidle_s = 0.4\n"
SHORT: Final = "total_s = 0.6\n"

Leaving: TypeAlias = Callable[[Customer, Reader, Play], Awaitable[object]]
Servers: TypeAlias = Callable[[str], Awaitable[str]]


def serving(stage: Stage, stream: str, **env: str) -> AbstractAsyncContextManager[RunningServer]:
    """A server before the stage, with these lines in `[stream]`."""
    env = {**stage.env, "PYTHONPATH": str(ROOT), "TAILRACE_ADMIN_KEY": ADMIN_KEY, **env}
    return running_server("--log-level", "warning", env=env, config=CONFIG + stream)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage() -> AsyncIterator[Stage]:
    """The upstream of all servers."""
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def servers(stage: Stage) -> AsyncIterator[Servers]:
    """The URL of a server with these lines in `[stream]`, started when it is first asked for."""
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:

        async def url_of(stream: str) -> str:
            if stream not in urls:
                urls[stream] = (await stack.enter_async_context(serving(stage, stream))).url
            return urls[stream]

        yield url_of


def plays_of(*scenes: Scene) -> pytest.MarkDecorator:
    """Each player with each of these scenes that it can play."""
    cases = [(player, scene) for player in PLAYERS for scene in scenes if scene in player.scenes]
    return pytest.mark.parametrize(("player", "scene"), cases, ids=[f"{player!r}-{scene}" for player, scene in cases])


def assert_settled(row: Row, play: Play, status: str, reason: str) -> None:
    """The row says so, and has the play's tokens."""
    assert (row["status"], row["reason"]) == (status, reason)
    assert {name: row[name] for name in play.usage} == play.usage
    assert 0 <= row["delivered_tokens"] <= row["output_tokens"]
    assert row["provider"] == play.provider
    assert row["duration_ms"] >= 0


@plays_of("whole", "length", "unreported", "refused", "complaint", "reset", "silence")
async def test_what_the_upstream_ends(servers: Servers, stage: Stage, player: Player, scene: Scene) -> None:
    """Finish, length, an error before the stream and in it, a reset in mid-token, an end without a word: one row, the
    tokens reported where the upstream said them, else counted of the text that it sent, and all were delivered."""
    customer = await new_customer(await servers(PATIENT))
    play = player.play(scene, stage)
    await customer.ask("POST", "/v1/chat/stream", play.body)
    row = await customer.row()
    assert_settled(row, play, *play.ends)
    assert row["delivered_tokens"] == row["output_tokens"]
    assert (row["ttft_ms"] is None) == (not play.text)


async def leave(customer: Customer, reader: Reader, play: Play) -> None:
    """Close the connection."""
    reader.leave()


async def half_close(customer: Customer, reader: Reader, play: Play) -> None:
    """Say that nothing more will be sent, which counts as leaving."""
    reader.half_close()


async def cancel(customer: Customer, reader: Reader, play: Play) -> None:
    """Cancel by POST, as from another tab."""
    (row,) = await customer.rows()
    cancelled = await customer.ask("POST", f"/v1/streams/{row['id']}/cancel")
    assert cancelled.status == 200
    assert b"cancelled" in (await reader.whole()).body


@plays_of("mute", "pause")
@pytest.mark.parametrize("leaving", [leave, half_close, cancel])
async def test_what_the_reader_ends(
    servers: Servers, stage: Stage, player: Player, scene: Scene, leaving: Leaving
) -> None:
    """Who leaves or cancels, before the first token or behind the third: one row, aborted, with what was sent."""
    customer = await new_customer(await servers(PATIENT))
    play = player.play(scene, stage)
    async with Reader(customer.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", play.body, headers=customer.headers)
        await begun(customer, stage, play)
        await told(reader, play)
        await leaving(customer, reader, play)
        assert_settled(await customer.row(), play, "aborted", "cancelled")


async def begun(customer: Customer, stage: Stage, play: Play) -> None:
    """Wait until the upstream was asked."""
    await eventually(customer.rows, len)
    if play.model == "m":
        await stage.asked(play.prompt)


async def told(reader: Reader, play: Play) -> None:
    """Wait until the reader has all that the upstream said."""
    await until(lambda: reader.answer.text == play.text)


@plays_of("mute", "pause")
@pytest.mark.parametrize("stream", [HASTY, SHORT], ids=["silent", "long"])
async def test_what_the_clock_ends(servers: Servers, stage: Stage, player: Player, scene: Scene, stream: str) -> None:
    """No first token in time, silence behind the third, too long in all: one row, failed, with what was sent."""
    customer = await new_customer(await servers(stream))
    play = player.play(scene, stage)
    await customer.ask("POST", "/v1/chat/stream", play.body)
    silence = "first_token_timeout" if scene == "mute" else "idle_timeout"
    assert_settled(await customer.row(), play, "failed", silence if stream is HASTY else "total_timeout")


@plays_of("flood")
async def test_what_the_budget_ends(servers: Servers, stage: Stage, player: Player, scene: Scene) -> None:
    """A budget of three tokens and a half, and more than that in one piece: one row, failed, with every token that the
    upstream sent, and their cost; the key may spend no more."""
    customer = await new_customer(await servers(PATIENT), budget_usd="3.5")
    play = player.play(scene, stage)
    body = {**play.body, "model": f"priced-{play.provider}"}
    answer = await customer.ask("POST", "/v1/chat/stream", body)
    assert b"budget_exceeded" in answer.body
    row = await customer.row()
    assert_settled(row, play, "failed", "budget_exceeded")
    assert row["cost_usd"] == row["output_tokens"] > 3.5
    refused = await customer.ask("POST", "/v1/chat/stream", body)
    assert (refused.status, refused.json()["code"]) == (429, "budget_exceeded")
    assert await customer.rows() == [row]


async def test_what_a_stop_ends(stage: Stage, tmp_path: Path) -> None:
    """SIGTERM while an answer of every provider waits for its first token, and another behind its third: each has one
    row, failed for the stop, with what was sent by then, and the exit status is 0."""
    plays = [player.play(scene, stage) for player in PLAYERS for scene in ("mute", "pause")]
    async with serving(stage, "drain_s = 0.1\n", TAILRACE_DATA_DIR=str(tmp_path)) as server, AsyncExitStack() as stack:
        customers = [await new_customer(server.url) for _ in plays]
        for customer, play in zip(customers, plays, strict=True):
            reader = await stack.enter_async_context(Reader(server.url))
            await reader.ask("POST", "/v1/chat/stream", play.body, headers=customer.headers)
            await begun(customer, stage, play)
            await told(reader, play)
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
    rows = await read_rows(Settings(data_dir=tmp_path))
    assert len(rows) == len(plays)
    by_key = {row["key_id"]: row for row in rows}
    for customer, play in zip(customers, plays, strict=True):
        assert_settled(by_key[customer.id], play, "failed", "draining")
