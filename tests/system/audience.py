"""Readers in the middle of their answers, to see how they fare in what befalls the server's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from tests.reader import Answer, Reader
from tests.server import RunningServer
from tests.system.customer import Customer, new_customer
from tests.system.stage import Stage
from tests.system.voices import REPORTED, OpenAIVoice

SIZE: Final = 20
QUICK: Final = {"message": "Hi", "model": "simulated/n1-d0"}
VOICE: Final = OpenAIVoice()


class Audience:
    """Readers in the middle of their answers, every other one in a session. `end` lets the answers end."""

    def __init__(self, customer: Customer, readers: Sequence[Reader], text: str, may_end: asyncio.Event) -> None:
        self.customer = customer
        self.readers = readers
        self._text = text
        self._may_end = may_end

    async def end(self) -> None:
        """Let all answers end, and see that the readers get them whole."""
        self._may_end.set()
        for answer in await asyncio.gather(*(reader.whole() for reader in self.readers)):
            assert answer.text == self._text
            assert answer.events[-1].data == "[DONE]"

    async def ask(self) -> Answer:
        """One more request."""
        return await self.customer.ask("POST", "/v1/chat", QUICK)

    async def assert_counted(self, *, more: int = 0) -> None:
        """Every answer has one row, with the upstream's own figures; `more` are other answers that were whole."""
        rows = await self.customer.settled(len(self.readers) + more)
        ids = {reader.answer.headers["x-tailrace-stream"] for reader in self.readers}
        own = [row for row in rows if row["id"] in ids]
        assert len(own) == len(self.readers)
        assert len(rows) == len(self.readers) + more
        assert {(row["status"], row["input_tokens"], row["output_tokens"]) for row in own} == {("finished", *REPORTED)}
        assert {row["status"] for row in rows} == {"finished"}


@asynccontextmanager
async def attended(
    server: RunningServer, stage: Stage, *, count: int = SIZE, text: str = "Hello"
) -> AsyncIterator[Audience]:
    """So many readers in the middle of their answers."""
    customer, may_end = await new_customer(server.url), asyncio.Event()
    stage.set("Wait.", [VOICE.head, VOICE.say(text), may_end, VOICE.end("stop")])
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(Reader(server.url)) for _ in range(count)]
        for place, reader in enumerate(readers):
            session = {"session_id": f"s{place}"} if place % 2 else {}
            body = {"message": "Wait.", "model": "openai/m", **session}
            await reader.ask("POST", "/v1/chat/stream", body, headers=customer.headers)
        for reader in readers:
            await reader.until(text.encode())
        yield Audience(customer, readers, text, may_end)
