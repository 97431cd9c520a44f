"""tailrace as a gateway: real keys, a real ledger on disk, prices, and upstreams that the test holds in its hand."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from tests.reader import Answer, Reader, ask
from tests.server import embed, serving
from tests.tap import Run, Tap
from tests.waiting import eventually
from tests.web.tapped import pass_through

from tailrace import Tailrace
from tailrace.events import UsageReported
from tailrace.keys import Keyring, parse_flags
from tailrace.keys.bodies import NewKey
from tailrace.ledger import Row, Scope
from tailrace.providers import Provider
from tailrace.settings import ModelSettings, Price, Settings, StreamSettings

STREAM: Final = "/v1/chat/stream"
WHOLE: Final = "/v1/chat"
NO_MODELS: Mapping[str, ModelSettings] = MappingProxyType({})

PRICED: Final = ModelSettings(provider="tap", price=Price(input=1.0, cached_input=0.25, output=10.0))
"""An entry of `[models]`: in pico-USD a token costs 10^6 in, a quarter of that from the cache, 10^7 out."""

IN: Final = 10**6
CACHED: Final = 250_000
OUT: Final = 10**7

_names = itertools.count(1)


class Gateway:
    """A running server. `url` is where, `tap` its default upstream, `path` its database."""

    def __init__(self, url: str, tailrace: Tailrace, tap: Tap) -> None:
        self.url = url
        self.tailrace = tailrace
        self.tap = tap
        self.path = tailrace.settings.data_dir / "tailrace.db"
        self.key_ids: dict[str, str] = {}

    async def key(self, **flags: Any) -> dict[str, str]:
        """A new key with these flags, as the header that carries it."""
        keyring = Keyring(self.tailrace.ledger, self.tailrace.models)
        made = await keyring.create(parse_flags({"name": f"key {next(_names)}", **flags}, NewKey))
        await self.tailrace.key_gate.refresh()
        header = {"x-api-key": made.text.reveal()}
        self.key_ids[header["x-api-key"]] = made.key.id
        return header

    async def token(self, key: Mapping[str, str], **terms: Any) -> dict[str, str]:
        """A browser token of a key, as the header that carries it."""
        answer = await self.ask("POST", "/v1/tokens", {"ttl_seconds": 60, **terms}, headers=key)
        return {"authorization": f"Bearer {answer.json()['token']}"}

    async def ask(
        self, method: str, target: str, body: object = None, *, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        """Ask on a connection of its own and wait for the whole answer."""
        return await ask(self.url, method, target, body, headers=headers)

    async def say(
        self,
        *pieces: str,
        key: Mapping[str, str] = MappingProxyType({}),
        usage: UsageReported | None = None,
        target: str = STREAM,
        **body: Any,
    ) -> Answer:
        """One whole exchange: the upstream says these pieces, reports this usage, and finishes."""
        async with Reader(self.url) as reader:
            run = await self.begin(reader, key=key, target=target, **body)
            run.say(*pieces, *([] if usage is None else [usage]))
            run.finish()
            return await reader.whole()

    async def begin(
        self,
        reader: Reader,
        *,
        key: Mapping[str, str] = MappingProxyType({}),
        target: str = STREAM,
        headers: Mapping[str, str] = MappingProxyType({}),
        **body: Any,
    ) -> Run:
        """Ask for an answer on this connection; the run that is to make it."""
        asked = len(self.tap.runs)
        given = body if "messages" in body or "after" in body else {"message": "Hi", **body}
        await reader.ask("POST", target, given, headers={**key, **headers})
        return await self.tap.asked(asked + 1)

    # The ledger

    async def rows(self) -> tuple[Row, ...]:
        """All rows, oldest first."""
        page = await self.tailrace.ledger.rows(Scope(), limit=500)
        return tuple(reversed(page.items))

    async def settled(self, count: int = 1) -> tuple[Row, ...]:
        """All rows, once there are so many and none runs."""

        def done(rows: tuple[Row, ...]) -> bool:
            return len(rows) == count and all(row.status != "running" for row in rows)

        return await eventually(self.rows, done)

    async def settled_row(self) -> Row:
        """The only row, once it is settled."""
        return (await self.settled())[0]

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement on the database from outside, as another process would."""
        return execute(self.path, sql, *values)

    def forget_logs(self) -> None:
        """Let a minute pass for the logs of ended answers: memory lets them go."""
        for now in (1e9, 1e9 + 61):
            self.tailrace.generations.ring.sweep(now)

    @contextmanager
    def database_gone(self) -> Iterator[None]:
        """Another file lies in the database's place: nothing can be written."""
        aside = self.path.with_name("aside")
        self.path.rename(aside)
        self.path.touch()
        try:
            yield
        finally:
            aside.rename(self.path)


def refusal(answer: Answer) -> tuple[int, str]:
    """A refusal's status and code."""
    return answer.status, answer.json()["code"]


def execute(path: Path, sql: str, *values: Any) -> list[Any]:
    """Run a statement on a database from outside, as another process would."""
    connection = sqlite3.connect(path, timeout=5)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


@asynccontextmanager
async def gateway(
    *others: Provider,
    models: Mapping[str, ModelSettings] = NO_MODELS,
    stream: Mapping[str, Any] = MappingProxyType({}),
    middleware: bool = False,
    tap: Tap | None = None,
    open: bool = True,  # noqa: A002 - tailrace's own word
    identify: Any = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """Serve. The default model is the tap's; `priced` is the same with a price. Nothing is retried."""
    tap = tap or Tap()
    given = {"default_model": "tap", "models": {"priced": PRICED, **models}, **settings}
    tailrace = Tailrace(
        Settings(stream=StreamSettings(**{"retries": 0, **stream}), **given),
        providers={provider.name: provider for provider in (tap, *others)},
        open=open,
        identify=identify,
    )
    app: FastAPI = embed(tailrace)
    if middleware:
        app.middleware("http")(pass_through)
    async with serving(app, own=not middleware) as url:
        yield Gateway(url, tailrace, tap)
