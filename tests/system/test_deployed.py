"""What `deploy/` describes, as processes: nginx with its own configuration, two tailraces, a Redis and a PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
import trustme
from tests.deployment import DEPLOY, deployed_nginx
from tests.reader import Answer, Reader
from tests.redis_server import redis_server
from tests.server import RunningServer, running_server
from tests.system.curl import Curl, curl
from tests.system.customer import ADMIN_KEY, Customer, new_customer
from tests.system.stage import Stage
from tests.system.stores import PostgresStore
from tests.system.voices import OpenAIVoice
from tests.upstream import Script, Step
from tests.waiting import eventually

from tailrace.sse import Decoder, ServerSentEvent

pytestmark = pytest.mark.usefixtures("no_leaks")

VOICE: Final = OpenAIVoice()
MODEL: Final = "openai/m"
LEASE_S: Final = 2.0
SSE: Final = {"accept": "text/event-stream"}


class Site:
    """`front` is nginx's URL, `workers` are the servers behind it; `customer` has a key of their own."""

    def __init__(self, front: str, ca_file: Path, workers: list[RunningServer], customer: Customer) -> None:
        self.front = front
        self.workers = workers
        self.customer = customer
        self._ca_file = ca_file

    def curl(self, *arguments: str) -> AbstractAsyncContextManager[Curl]:
        """curl at nginx, over HTTP/2 where it can, with the customer's key; a path stands for a URL there."""
        named = [self.front + argument if argument.startswith("/v1") else argument for argument in arguments]
        key = f"x-api-key: {self.customer.key}"
        return curl("--cacert", str(self._ca_file), "--http2", "-H", key, *named)

    def at(self, worker: int) -> Customer:
        """The customer at one of the workers itself."""
        return self.customer.at(self.workers[worker].url)


@asynccontextmanager
async def deployed(store: PostgresStore, stage: Stage, folder: Path, **terms: object) -> AsyncIterator[Site]:
    """The whole site, with a customer on these terms."""
    settings = (DEPLOY / "tailrace.toml").read_text("utf-8").replace("172.30.7.0/24", "127.0.0.0/8")
    config, count = re.subn(r'lease = "15s"', f'lease = "{LEASE_S:g}s"', settings)
    assert count == 1
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server())
        env = {**stage.env, "TAILRACE_ADMIN_KEY": ADMIN_KEY, "TAILRACE_REDIS_URL": redis.url}
        workers = [
            await stack.enter_async_context(
                running_server("--log-level", "warning", env={**env, **store.env(name)}, config=config)
            )
            for name in ("one", "two")
        ]
        front = await stack.enter_async_context(deployed_nginx(authority, *(worker.url for worker in workers)))
        customer = await new_customer(workers[0].url, **terms)
        # The key is new to the second
        await eventually(lambda: customer.at(workers[1].url).ask("GET", "/v1/streams"), _is_ok)
        yield Site(front, folder / "ca.pem", workers, customer)


def _is_ok(answer: Answer) -> bool:
    return answer.status == 200


def said(*words: str, then: asyncio.Event | Step = Step.STALL, rest: tuple[str, ...] = ()) -> Script:
    """An upstream that says some words, waits, and says the rest."""
    end = [VOICE.end("stop"), VOICE.last_chunk] if isinstance(then, asyncio.Event) else []
    return [VOICE.head, *map(VOICE.say, words), then, *map(VOICE.say, rest), *end]


def events(output: str) -> list[ServerSentEvent]:
    """What curl printed, as events."""
    return Decoder().feed(output.encode())


def text(output: str) -> str:
    """The answer in what curl printed."""
    return "".join(json.loads(event.data).get("delta", "") for event in events(output) if event.data.startswith("{"))


def body(prompt: str, **more: object) -> list[str]:
    """curl's arguments to stream an answer."""
    return ["/v1/chat/stream", "--json", json.dumps({"message": prompt, "model": MODEL, **more})]


async def begin(reader: Reader, customer: Customer, prompt: str, **more: object) -> str:
    """Ask for a stream on this connection; its name, once it has its first word."""
    await reader.ask("POST", "/v1/chat/stream", {"message": prompt, "model": MODEL, **more}, headers=customer.headers)
    await reader.until(b"one ")
    return reader.answer.headers["x-tailrace-stream"]


async def test_each_token_comes_through_at_once(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """Over TLS and HTTP/2 a reader has what the model said so far, while it thinks about the rest; then the rest, once,
    from whichever worker is asked."""
    more = asyncio.Event()
    stage.set("Speak.", said("one ", "two ", then=more, rest=("three ", "four")))
    async with deployed(postgres_store, stage, tmp_path) as site:
        async with site.curl(*body("Speak.", on_disconnect="continue"), "-w", "%{stderr}%{http_version}") as reader:
            await reader.until("two ")
            cursor = next(event.id for event in reversed(events(reader.output)) if event.id)
            name = cursor.rpartition(".")[0]
            await reader.end()
        resuming = ["-H", f"last-event-id: {cursor}", "-H", "accept: text/event-stream", f"/v1/streams/{name}"]
        async with site.curl(*resuming) as one, site.curl(*resuming) as two, site.curl(*resuming) as three:
            await asyncio.sleep(0)
            more.set()
            assert [text(await reader.whole()) for reader in (one, two, three)] == ["three four"] * 3
        for worker in (0, 1):
            again = await site.at(worker).ask("GET", f"/v1/streams/{name}", None, **SSE)
            assert again.text == "one two three four"
        assert len(stage.upstream.requests) == 1


async def test_http2_is_spoken(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """nginx speaks HTTP/2 with who can; plain HTTP is sent to TLS with its method kept; nobody sees the metrics; the
    sign-in's cookie is for TLS alone."""
    async with deployed(postgres_store, stage, tmp_path) as site:
        async with site.curl("/v1/models", "-o", "/dev/null", "-w", "%{http_version} %{response_code}") as asked:
            assert await asked.whole() == "2 200"
        async with site.curl(f"{site.front}/metrics", "-o", "/dev/null", "-w", "%{response_code}") as asked:
            assert await asked.whole() == "404"
        signing_in = [f"{site.front}/session", "-i", "--json", json.dumps({"key": site.customer.key})]
        async with site.curl(*signing_in, "-H", f"origin: {site.front}") as asked:
            cookie = next(line for line in (await asked.whole()).split("\r\n") if line.startswith("set-cookie"))
            assert "; Secure" in cookie


async def test_a_cancel_reaches_the_worker_that_runs_it(
    postgres_store: PostgresStore, stage: Stage, tmp_path: Path
) -> None:
    """A stream of one worker is cancelled at the other: the upstream is left, the reader told, the row aborted."""
    stage.set("Speak.", said("one "))
    async with deployed(postgres_store, stage, tmp_path) as site, Reader(site.workers[0].url) as reader:
        name = await begin(reader, site.customer, "Speak.")
        cancelled = await site.at(1).ask("POST", f"/v1/streams/{name}/cancel")
        assert cancelled.status in (200, 202), cancelled.body
        assert (await reader.whole()).objects[-1]["code"] == "cancelled"
        await stage.left("Speak.")
        assert (await site.at(1).row())["status"] == "aborted"


async def test_limits_are_counted_together(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """A key's streams and requests are counted over both workers, and free again everywhere when they end."""
    stage.set("Speak.", said("one "))
    stage.set("Quick.", [VOICE.head, VOICE.say("yes"), VOICE.end("stop"), VOICE.last_chunk])
    quick = {"message": "Quick.", "model": MODEL}
    async with deployed(postgres_store, stage, tmp_path, max_streams=1, rpm=4) as site:
        async with Reader(site.workers[0].url) as reader:
            name = await begin(reader, site.customer, "Speak.")
            assert reader.answer.headers["x-ratelimit-remaining-requests"] == "3"
            refused = await site.at(1).ask("POST", "/v1/chat", quick)
            assert (refused.status, refused.json()["code"]) == (429, "too_many_streams")
            await site.at(1).ask("POST", f"/v1/streams/{name}/cancel")
            await reader.whole()
        passed = [await site.at(worker).ask("POST", "/v1/chat", quick) for worker in (1, 0, 1)]
        assert [answer.status for answer in passed] == [200] * 3
        refused = await site.at(0).ask("POST", "/v1/chat", quick)
        assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1


async def test_a_worker_that_is_killed(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """`kill -9`: who reads elsewhere gets all there was and then `interrupted`, within the lease and two seconds; the
    row says so too, the stream's place is free again, and nginx sends everyone to the worker that lives."""
    stage.set("Speak.", said("one "))
    stage.set("Quick.", [VOICE.head, VOICE.say("yes"), VOICE.end("stop"), VOICE.last_chunk])
    quick = {"message": "Quick.", "model": MODEL}
    async with deployed(postgres_store, stage, tmp_path, max_streams=1) as site:
        async with Reader(site.workers[0].url) as reader, Reader(site.workers[1].url) as elsewhere:
            name = await begin(reader, site.customer, "Speak.")
            await elsewhere.ask("GET", f"/v1/streams/{name}", headers={**site.customer.headers, **SSE})
            await elsewhere.until(b"one ")
            site.workers[0].signal(signal.SIGKILL)
            killed_at = time.monotonic()
            assert (await elsewhere.whole()).objects[-1]["code"] == "interrupted"
            assert time.monotonic() - killed_at < LEASE_S + 2
        await eventually(lambda: site.at(1).ask("POST", "/v1/chat", quick), _is_ok, within=LEASE_S + 5)
        rows = await eventually(
            site.at(1).rows, lambda rows: all(row["status"] != "running" for row in rows), within=10
        )
        assert sorted(row["status"] for row in rows) == ["finished", "interrupted"]
        for _ in range(4):
            async with site.curl("/v1/models", "-o", "/dev/null", "-w", "%{response_code}") as asked:
                assert await asked.whole() == "200"


async def test_a_revoked_key_ends_what_others_read(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """A key that is revoked at the worker which only reads: within two seconds its stream ends for every reader."""
    stage.set("Speak.", said("one "))
    async with (
        deployed(postgres_store, stage, tmp_path) as site,
        Reader(site.workers[0].url) as reader,
        Reader(site.workers[1].url) as elsewhere,
    ):
        name = await begin(reader, site.customer, "Speak.")
        await elsewhere.ask("GET", f"/v1/streams/{name}", headers={**site.customer.headers, **SSE})
        await elsewhere.until(b"one ")
        admin = Customer(site.workers[1].url, "", ADMIN_KEY)
        assert (await admin.ask("DELETE", f"/v1/keys/{site.customer.id}")).status == 200
        revoked_at = time.monotonic()
        for one in (reader, elsewhere):
            assert (await one.whole()).objects[-1]["code"] == "key_revoked"
        assert time.monotonic() - revoked_at < 2
        await stage.left("Speak.")


async def test_a_worker_that_drains(postgres_store: PostgresStore, stage: Stage, tmp_path: Path) -> None:
    """While a worker drains, its stream goes on to its end, and an EventSource's new stream comes from the other."""
    more = asyncio.Event()
    stage.set("Speak.", said("one ", then=more, rest=("two",)))
    stage.set("Quick.", [VOICE.head, VOICE.say("yes"), VOICE.end("stop"), VOICE.last_chunk])
    target = f"/v1/chat?{urlencode({'message': 'Quick.', 'model': MODEL})}"
    async with deployed(postgres_store, stage, tmp_path) as site, Reader(site.workers[0].url) as reader:
        await begin(reader, site.customer, "Speak.")
        site.workers[0].signal(signal.SIGTERM)
        await eventually(lambda: site.at(0).ask("GET", "/readyz"), lambda answer: answer.status == 503)
        for _ in range(6):
            async with site.curl(target) as asked:
                assert text(await asked.whole()) == "yes"
        more.set()
        assert (await reader.whole()).text == "one two"
        assert await site.workers[0].ended() == 0
