"""Secrets and words with a mark: the marks are searched for in all that a server writes, says and keeps."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.postgres import PostgresServer
from tests.reader import Answer, ask
from tests.server import RunningServer, running_server
from tests.system.audience import SIZE, attended
from tests.system.customer import ADMIN_KEY, Customer, new_customer
from tests.system.stage import UPSTREAM_KEY, Stage
from tests.system.stores import PostgresStore, SqliteStore
from tests.system.voices import OpenAIVoice
from tests.upstream import Script, Step, answer

pytestmark = pytest.mark.usefixtures("no_leaks")

VOICE: Final = OpenAIVoice()
PROMPT: Final = "canary-prompt-"
ANSWER: Final = "canary-answer-"
ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = '[providers.langchain]\nkind = "langchain"\ntarget = "tests.system.performer:performer"\n'

ECHO: Final = json.dumps({"error": {"message": f"your key {UPSTREAM_KEY} said {PROMPT}"}}).encode()
"""An upstream that repeats what it was sent, as some do."""

SCRIPTS: Final[dict[str, Script]] = {
    "whole": [VOICE.head, VOICE.say(f"{ANSWER}whole"), VOICE.end("stop")],
    "refused": [answer(ECHO, "401 No", content_type="application/json")],
    "broken": [answer(ECHO, "500 No", content_type="application/json")],
    "complaint": [VOICE.head, VOICE.say(f"{ANSWER}complaint"), VOICE.complain()],
    "torn": [VOICE.head, VOICE.say(f"{ANSWER}torn"), VOICE.say(f"{ANSWER}torn")[:30], Step.RESET],
    "nonsense": [VOICE.head, b"%x\r\ndata: {%b\n\n\r\n" % (len(ANSWER) + 9, ANSWER.encode()), Step.STALL],
}


@asynccontextmanager
async def watched(store: SqliteStore | PostgresStore, stage: Stage, level: str) -> AsyncIterator[RunningServer]:
    """A server that logs everything down to this level."""
    env = {**stage.env, **store.env(), "TAILRACE_ADMIN_KEY": ADMIN_KEY, "PYTHONPATH": str(ROOT)}
    async with running_server("--log-level", level, env=env, config=CONFIG) as server:
        yield server


async def talk(customer: Customer, stage: Stage) -> list[Answer]:
    """Go through every way in which an answer can end, in a session and without one; all that the server said."""
    told: list[Answer] = []
    for name, script in SCRIPTS.items():
        sessions: tuple[dict[str, str], ...] = ({}, {"session_id": f"canary-session-{name}"})
        for session in sessions:
            prompt = f"{PROMPT}{name} {len(told)}."
            stage.set(prompt, script)
            body = {"message": prompt, "model": "openai/m", **session}
            told.append(await customer.ask("POST", "/v1/chat/stream", body))
    failing = json.dumps({"pieces": [ANSWER], "end": "fail", "reported": False})
    body = {"message": f"{PROMPT}\n{failing}", "model": "langchain/performer"}
    told.append(await customer.ask("POST", "/v1/chat/stream", body))
    return told


async def err(customer: Customer) -> list[Answer]:
    """Ask for what can't be, with secrets and words in every place; all that the server said."""
    wrong = f"{customer.key}x"
    return [
        await ask(customer.url, "POST", "/v1/chat", {"message": PROMPT}, headers={"x-api-key": wrong}),
        await ask(customer.url, "POST", "/v1/chat", {"message": PROMPT}, headers={"authorization": f"Basic {wrong}"}),
        await ask(customer.url, "GET", f"/v1/chat?message={PROMPT}&key={customer.key}&token={customer.key}"),
        await customer.ask("POST", "/v1/chat", {"message": PROMPT, "canary": PROMPT}),
        await customer.ask("POST", "/v1/chat", {"message": PROMPT, "model": "openai/unsupported", "temperature": "x"}),
        await customer.ask("POST", "/v1/chat", f'{{"message": "{PROMPT}'.encode()),
        await customer.ask("GET", f"/v1/chat?message={PROMPT}&model=nobody/knows"),
    ]


async def look(customer: Customer) -> list[Answer]:
    """All that a server shows of itself."""
    admin = {"x-api-key": ADMIN_KEY}
    pages = ("/metrics", "/v1/usage/generations", "/v1/usage", "/v1/keys", "/readyz", "/openapi.json")
    return [await ask(customer.url, "GET", page, headers=admin) for page in pages]


def contents(folder: Path) -> bytes:
    """Every byte of every file of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def assert_silent(written: str | bytes, *marks: str) -> None:
    """None of the marks is in what was written."""
    for mark in marks:
        found = written.find(mark) if isinstance(written, str) else written.find(mark.encode())
        assert found < 0, f"{mark!r} in {written[max(0, found - 200) : found + 100]!r}"


def secrets_of(customer: Customer) -> tuple[str, ...]:
    """What nobody may find: the keys, and their secret parts alone."""
    keys = (customer.key, ADMIN_KEY)
    return (*keys, *(key.rpartition("_")[2] for key in keys), UPSTREAM_KEY)


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_nothing_is_said_of_secrets(sqlite_store: SqliteStore, stage: Stage, level: str) -> None:
    """No key of ours nor of an upstream is in a log, at any level, in an answer, in the metrics or in a file; no
    prompt and no answer is in a log; a prompt is in a file only where a session keeps it."""
    async with watched(sqlite_store, stage, level) as server:
        customer = await new_customer(server.url)
        told = [*await talk(customer, stage), *await err(customer)]
        await customer.settled(len(SCRIPTS) * 2 + 1)
        shown = await look(customer)
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
    secrets = secrets_of(customer)
    for said in (*told, *shown):
        assert_silent(said.body, *secrets)
        assert_silent(str(said.headers), *secrets)
    assert_silent(str(server.logs()), *secrets, PROMPT, ANSWER)
    assert [line for line in server.logs() if line.get("level") == "error" or "raw" in line] == []
    assert_silent(b"".join(page.body for page in shown), PROMPT, ANSWER)
    assert_kept_in_sessions_alone(contents(sqlite_store.path.parent), secrets)


def assert_kept_in_sessions_alone(files: bytes, secrets: tuple[str, ...]) -> None:
    """The files hold no secret, and of each pair of prompts the one of the session."""
    assert_silent(files, *secrets)
    for place, name in enumerate(SCRIPTS):
        assert f"{PROMPT}{name} {2 * place + 1}.".encode() in files
        assert_silent(files, f"{PROMPT}{name} {2 * place}.")


async def test_nothing_is_said_in_trouble(
    postgres: PostgresServer, postgres_store: PostgresStore, stage: Stage
) -> None:
    """While PostgreSQL is down too: neither the log at its loudest nor an answer nor the spool holds a key or the
    database's password, and the spool has only the answers that a session keeps."""
    url = postgres_store.url.replace("tailrace@", "tailrace:canary-password@")
    env = {**stage.env, **postgres_store.env(), "TAILRACE_DATABASE_URL": url, "TAILRACE_ADMIN_KEY": ADMIN_KEY}
    async with (
        running_server("--log-level", "debug", env=env) as server,
        attended(server, stage, text=ANSWER) as audience,
    ):
        await asyncio.to_thread(postgres.stop)
        await audience.end()
        refused = await audience.ask()
        stranger = await audience.customer.ask("GET", "/v1/streams", **{"x-api-key": f"{audience.customer.key}x"})
        (folder,) = {path.parent for path in postgres_store.settings.data_dir.rglob("*.jsonl")}
        spool = contents(folder)
        await asyncio.to_thread(postgres.start)
        await audience.assert_counted()
    secrets = (*secrets_of(audience.customer), "canary-password")
    assert_silent(str(server.logs()), *secrets, ANSWER)
    assert_silent(refused.body + stranger.body, *secrets)
    assert_silent(spool, *secrets)
    waiting = [json.loads(line)["settlement"] for line in spool.splitlines() if line]
    assert [one["answer"] is not None for one in waiting].count(True) == SIZE // 2
    assert len(waiting) == SIZE
