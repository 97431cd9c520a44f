"""Generations that wait, each at its own point between the request and the settlement, on one server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

from tests.reader import Reader
from tests.server import RunningServer, running_server
from tests.system.customer import ADMIN_KEY, Customer, new_customer
from tests.system.stage import Stage
from tests.system.stores import Store
from tests.system.voices import OpenAIVoice
from tests.upstream import Script, Step
from tests.waiting import eventually, until

OLDEST_S: Final = 1.0
"""How old the figures of a checkpoint may be."""

SLACK_S: Final = 0.5
"""What a checkpoint may take on a busy machine, from the timer into the database."""

VOICE: Final = OpenAIVoice()
SAID: Final = VOICE.head + VOICE.say("Hello")
END: Final = VOICE.end("stop")
WHOLE: Final = (SAID, END)

NAMES: Final = (
    "opening",
    "connecting",
    "asked",
    "answered",
    "begun",
    "running",
    "ending",
    "ending in session",
    "settled",
)
"""Where they wait: for their row, for a connection, for an answer's head, its first token, the next, the settlement."""


class Moments:
    """Each generation has a name, a key of its own, and its name as its idempotency key."""

    def __init__(self, server: RunningServer, stage: Stage) -> None:
        self.server = server
        self.stage = stage
        self.customers: dict[str, Customer] = {}
        self.readers: dict[str, Reader] = {}
        self.may_end = asyncio.Event()
        self._bodies: dict[str, dict[str, Any]] = {}
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        """Bring a generation to each point that comes before its end, and see that it is there."""
        for name in NAMES:
            self.customers[name] = await new_customer(self.server.url)
        await self.ask("running", model="simulated/n9000-d10")
        await self.ask("connecting", model="deaf/m")
        await self.ask("asked", [Step.STALL])
        await self.ask("answered", [VOICE.head, Step.STALL])
        await self.ask("begun", [SAID, Step.STALL], session_id="begun")
        await self.ask("ending", [SAID, self.may_end, END])
        await self.ask("ending in session", [SAID, self.may_end, END], session_id="ending")
        await self.ask("settled", WHOLE)
        await self._arrived()

    async def _arrived(self) -> None:
        await self.readers["settled"].whole()
        await self.customers["settled"].settled()
        for name in ("asked", "answered"):
            await self.stage.asked(prompt(name))
        for name in ("begun", "ending", "ending in session"):
            await self.readers[name].until(b"Hello")
        await eventually(self.customers["connecting"].rows, len)
        await until(lambda: self._age("running") > 2 * OLDEST_S + SLACK_S)

    async def ask(self, name: str, script: Script = (), **body: Any) -> None:
        """Begin one, whose upstream follows the script."""
        self.stage.set(prompt(name), script)
        self._bodies[name] = {"message": prompt(name), "model": "openai/m", **body}
        self.readers[name] = await self._stack.enter_async_context(Reader(self.server.url))
        headers = {**self.customers[name].headers, "idempotency-key": name}
        await self.readers[name].ask("POST", "/v1/chat/stream", self._bodies[name], headers=headers)

    async def ask_again(self, name: str, url: str) -> int:
        """Send the same request with the same idempotency key, perhaps to another server; the answer's status."""
        customer = self.customers[name].at(url)
        answer = await customer.ask("POST", "/v1/chat/stream", self._bodies[name], **{"idempotency-key": name})
        return answer.status

    def asked(self, name: str) -> int:
        """How often its upstream was asked."""
        return sum(prompt(name).encode() in request.body for request in self.stage.upstream.requests)

    def tokens_by(self, name: str, moment: float) -> int:
        """How many tokens its reader had by then."""
        pieces = self.readers[name].answer.pieces
        return sum(data.count(b'"delta":') for at, data in pieces if at <= moment)

    async def close(self) -> None:
        """Close the readers."""
        await self._stack.aclose()

    def _age(self, name: str) -> float:
        pieces = self.readers[name].answer.pieces
        return time.monotonic() - pieces[0][0] if pieces else 0.0


def prompt(name: str) -> str:
    """What is asked at this point."""
    return f"Moment: {name}."


def serving(
    store: Store, stage: Stage, *, name: str = "server", config: str = ""
) -> AbstractAsyncContextManager[RunningServer]:
    """A server on this store and before this stage."""
    env = {**stage.env, **store.env(name), "TAILRACE_ADMIN_KEY": ADMIN_KEY}
    return running_server("--log-level", "warning", env=env, config=config)


@asynccontextmanager
async def moments_of(store: Store, stage: Stage) -> AsyncIterator[Moments]:
    """A server of its own with a generation at every point."""
    with _deaf() as nowhere:
        config = f'[providers.deaf]\nkind = "openai"\nbase_url = "{nowhere}"\n'
        async with serving(store, stage, config=config) as server:
            moments = Moments(server, stage)
            try:
                await moments.begin()
                yield moments
            finally:
                await moments.close()


@contextmanager
def _deaf() -> Iterator[str]:
    """The URL of a listener whose backlog is full, so that a connection to it never comes about."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"
