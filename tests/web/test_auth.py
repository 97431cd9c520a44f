"""Who may: open mode and its refusals, the admin key, and applications that know their own users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from tests.reader import Answer, Reader, ask
from tests.server import embed, serving
from tests.tap import Tap

from tailrace import Settings, Tailrace, create_app
from tailrace.settings import CorsSettings, Secret, ServerSettings
from tailrace.web.auth import Identify

pytestmark = pytest.mark.usefixtures("no_leaks")

BODY = {"message": "Hi", "model": "simulated/n1-d0"}
ADMIN_KEY = "tr_admin_" + "k" * 43
SETTINGS = Settings(
    server=ServerSettings(hosts=("models.internal", "10.0.0.7")), cors=CorsSettings(origins=("https://app.example",))
)
TARGETS: list[tuple[str, str, object]] = [
    ("POST", "/v1/chat", BODY),
    ("POST", "/v1/chat/stream", BODY),
    ("GET", "/v1/chat?message=Hi&model=simulated/n1-d0", None),
    ("GET", "/v1/streams", None),
    ("GET", "/metrics", None),
]
each_target = pytest.mark.parametrize(
    ("method", "target", "body"), TARGETS, ids=[f"{method} {target[:12]}" for method, target, _ in TARGETS]
)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server in open mode."""
    async with serving(create_app(SETTINGS)) as url:
        yield url


def assert_refused(answer: Answer, status: int, code: str) -> None:
    """The answer is this refusal, as problem JSON."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code


# Open mode

HOSTS = [
    "localhost", "localhost:8000", "LocalHost:1", "127.0.0.1", "127.0.0.1:8000", "127.8.9.1", "[::1]", "[::1]:8000",
    "app.localhost:3000", "models.internal", "Models.Internal:8000", "10.0.0.7:80",
]  # fmt: skip
STRANGE_HOSTS = [
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:127", "0.0.0.0", "10.0.0.8",
    "192.168.1.5:8000", "[::2]", "[::]", "xlocalhost", "localhost.", "models.internal.evil.example", "[::1", "",
    "127.0.0.1@evil.example", "evil.example#localhost", "127.0.0.1, evil.example",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_loopback_hosts_are_answered(url: str, host: str) -> None:
    """Every form of this machine's own name, and the names of `[server] hosts`, with or without a port."""
    assert (await ask(url, "POST", "/v1/chat", BODY, headers={"host": host})).status == 200


@pytest.mark.parametrize("host", STRANGE_HOSTS)
async def test_other_hosts_are_refused(url: str, host: str) -> None:
    """A name that was rebound to this machine, or anything like one, is refused whatever it resolves to."""
    answer = await ask(url, "POST", "/v1/chat", BODY, headers={"host": host})
    assert_refused(answer, 403, "host_refused")
    assert "TAILRACE_ADMIN_KEY" in answer.json()["detail"]


@each_target
async def test_every_api_route_is_guarded(url: str, method: str, target: str, body: object) -> None:
    """No API route answers a stranger's host; health does, which a load balancer asks under any name."""
    assert_refused(await ask(url, method, target, body, headers={"host": "evil.example"}), 403, "host_refused")
    for path in ("/health", "/livez", "/readyz"):
        assert (await ask(url, "GET", path, headers={"host": "10.1.2.3"})).status == 200


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix"],
)
async def test_forwarded_requests_are_refused(url: str, header: str) -> None:
    """A proxy in front makes everyone local, so what it adds is a reason to refuse; the answer says which."""
    answer = await ask(url, "POST", "/v1/chat", BODY, headers={header: "1.2.3.4"})
    assert_refused(answer, 403, "forwarded_refused")
    assert header.lower() in answer.json()["detail"]


ORIGINS = [
    "http://localhost:3000",
    "https://127.0.0.1",
    "http://[::1]:8000",
    "http://a.localhost",
    "https://app.example",
]
STRANGE_ORIGINS = [
    "https://evil.example", "null", "https://app.example.evil.example", "http://app.example", "https://app.example:444",
    "http://localhost.evil.example", "http://localhost@evil.example", "http://127.0.0.1.evil.example", "", "http://[bad",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
async def test_pages_of_this_machine_may_call(url: str, origin: str) -> None:
    """Loopback origins and those of `[cors]` are answered, whatever site the browser calls them."""
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    assert (await ask(url, "POST", "/v1/chat", BODY, headers=headers)).status == 200


@pytest.mark.parametrize("origin", STRANGE_ORIGINS)
async def test_pages_of_others_are_refused(url: str, origin: str) -> None:
    """Any other origin is refused, the one that has no name too."""
    answer = await ask(url, "POST", "/v1/chat", BODY, headers={"origin": origin})
    assert_refused(answer, 403, "origin_refused")


async def test_a_cross_site_request_without_an_origin_is_refused(url: str) -> None:
    """An image or a link of another site, which sends no `Origin`, starts no generation; a direct call does."""
    target = "/v1/chat?message=Hi&model=simulated/n1-d0"
    answer = await ask(url, "GET", target, headers={"sec-fetch-site": "cross-site"})
    assert_refused(answer, 403, "origin_refused")
    for site in ("same-origin", "same-site", "none"):
        assert (await ask(url, "GET", target, headers={"sec-fetch-site": site})).status == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("target", ["/v1/chat", "/chat/stream", "/v1/streams/gen_1/cancel"])
async def test_what_a_form_can_post_is_refused(url: str, target: str, media_type: str) -> None:
    """POSTs of the types that a page may send without asking are refused, also where no body is read."""
    answer = await ask(url, "POST", target, b"{}", headers={"content-type": media_type})
    assert_refused(answer, 415, "unsupported_media_type")


async def test_any_key_is_taken_in_open_mode(url: str) -> None:
    """A client that insists on sending a key is let in with whatever it sends."""
    for headers in ({"x-api-key": "anything"}, {"authorization": "Bearer sk-x"}, {"authorization": "Basic eA=="}):
        assert (await ask(url, "POST", "/v1/chat", BODY, headers=headers)).status == 200


# Keys


@pytest.fixture
async def locked() -> AsyncIterator[str]:
    """A server with an admin key."""
    async with serving(create_app(Settings(admin_key=Secret(ADMIN_KEY)))) as url:
        yield url


@each_target
async def test_without_the_key_nothing_is_answered(locked: str, method: str, target: str, body: object) -> None:
    """With an admin key set, each API route wants it, in either header; the host and proxies matter no more."""
    wrong: list[Mapping[str, str]] = [
        {}, {"x-api-key": ""}, {"x-api-key": ADMIN_KEY[:-1]}, {"x-api-key": ADMIN_KEY + "k"}, {"x-api-key": "ключ"},
        {"authorization": ADMIN_KEY}, {"authorization": f"Basic {ADMIN_KEY}"}, {"authorization": "Bearer"},
        {"x-api-key": "wrong", "authorization": f"Bearer {ADMIN_KEY}"},
    ]  # fmt: skip
    for headers in wrong:
        answer = await ask(locked, method, target, body, headers=headers)
        assert_refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert ADMIN_KEY not in answer.body.decode()
    right: list[Mapping[str, str]] = [{"x-api-key": ADMIN_KEY}, {"authorization": f"bearer {ADMIN_KEY}"}]
    for headers in right:
        around = {"host": "models.example", "x-forwarded-for": "1.2.3.4"}
        assert (await ask(locked, method, target, body, headers={**headers, **around})).status == 200


async def test_the_key_is_checked_before_the_body(locked: str) -> None:
    """Who has no key is refused while the body has yet to come, and a broken body is no hint."""
    async with Reader(locked) as reader:
        await reader.ask("POST", "/v1/chat", b"", headers={"content-type": "text/plain", "content-length": "100"})
        assert_refused(await reader.whole(), 401, "unauthorized")


@pytest.mark.parametrize("name", ["key", "api_key", "apikey", "X-API-Key", "access_token", "Authorization"])
async def test_a_key_in_the_query_is_refused(locked: str, name: str) -> None:
    """The right key in the query string is refused with the headers that it belongs in, and not repeated."""
    answer = await ask(locked, "GET", f"/v1/streams?{name}={ADMIN_KEY}")
    assert_refused(answer, 400, "key_in_query")
    assert ADMIN_KEY not in answer.body.decode()


# Embedded


def embedded(**options: object) -> FastAPI:
    """An application with tailrace in it."""
    return embed(Tailrace(**options))  # type: ignore[arg-type]


async def test_embedded_is_closed_unless_opened() -> None:
    """Within another application nobody may, unless it says `open=True`, names a key or knows its users."""
    async with serving(embedded()) as url:
        assert_refused(await ask(url, "POST", "/v1/chat", BODY), 401, "unauthorized")
        assert_refused(await ask(url, "POST", "/v1/chat", BODY, headers={"x-api-key": "x"}), 401, "unauthorized")
    async with serving(embedded(open=True)) as url:
        assert (await ask(url, "POST", "/v1/chat", BODY)).status == 200
        strange = await ask(url, "POST", "/v1/chat", BODY, headers={"host": "evil.example"})
        assert_refused(strange, 403, "host_refused")
    async with serving(embedded(settings=Settings(admin_key=Secret(ADMIN_KEY)), open=True)) as url:
        assert_refused(await ask(url, "POST", "/v1/chat", BODY), 401, "unauthorized")


def named(request: Request) -> str | None:
    """The user that a header names."""
    return request.headers.get("x-user")


async def looked_up(request: Request) -> str | None:
    """The same, after a look into a database."""
    await asyncio.sleep(0)
    return request.headers.get("x-user")


@pytest.mark.parametrize("identify", [named, looked_up])
async def test_the_application_knows_its_users(identify: Identify) -> None:
    """`identify`, sync or async, decides who may; streams belong to their user and are nobody else's business."""
    alice, bob = {"x-user": "alice"}, {"x-user": "bob"}
    tap = Tap()
    async with (
        serving(embedded(identify=identify, providers={"tap": tap}, open=True)) as url,
        Reader(url) as reader,
    ):
        assert_refused(await ask(url, "POST", "/v1/chat", BODY), 401, "unauthorized")
        await reader.ask("POST", "/v1/chat/stream", {"message": "Hi", "model": "tap"}, headers=alice)
        (await tap.asked()).say("Hi")
        stream = (await reader.until(b"Hi")).headers["x-tailrace-stream"]
        target = f"/v1/streams/{stream}"
        for method, path in (("GET", target), ("POST", f"{target}/cancel")):
            assert_refused(await ask(url, method, path, headers=bob), 404, "stream_not_found")
        resumed = await ask(url, "POST", "/v1/chat", {"message": "x"}, headers={**bob, "last-event-id": f"{stream}.1"})
        assert resumed.status == 204
        assert (await ask(url, "GET", "/v1/streams", headers=bob)).json()["data"] == []
        assert len((await ask(url, "GET", "/v1/streams", headers=alice)).json()["data"]) == 1
        assert (await ask(url, "GET", target, headers=alice)).json()["status"] == "running"
        assert len(tap.runs) == 1
        assert (await ask(url, "POST", f"{target}/cancel", headers=alice)).json()["status"] == "aborted"
