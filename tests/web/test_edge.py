"""The outermost layer: request ids, CORS, the count of what was answered, and what no layer below expected."""

from __future__ import annotations

import re

import pytest
from tests.reader import Reader, ask
from tests.server import serving
from tests.waiting import until

from tailrace import Settings, create_app
from tailrace.settings import CorsSettings, Secret

pytestmark = pytest.mark.usefixtures("no_leaks")

PAGE = "https://app.example"
CORS = CorsSettings(origins=(PAGE,))
ADMIN_KEY = "tr_admin_" + "k" * 43
BODY = {"message": "Hi", "model": "simulated/n2-d0"}
EXPOSED = {"x-tailrace-stream", "x-request-id", "retry-after", "x-ratelimit-limit-requests", "x-ratelimit-reset-tokens"}


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/v1/chat"), ("GET", "/health"), ("GET", "/nowhere"), ("GET", "/v1/streams/gen_1")]
)
async def test_every_answer_has_its_own_request_id(method: str, target: str) -> None:
    """Each answer, refusals too, carries one `X-Request-Id`, never that of another nor the client's."""
    async with serving(create_app()) as url:
        ids = set()
        for _ in range(3):
            headers = {"x-request-id": "mine"}
            answer = await ask(url, method, target, BODY if method == "POST" else None, headers=headers)
            ids.add(answer.headers["x-request-id"])
    assert len(ids) == 3
    assert all(re.fullmatch(r"req_[0-9a-f]{16}", one) for one in ids)


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"])
async def test_a_preflight_is_answered(origin: str) -> None:
    """OPTIONS from a page that may call is 204 with what it asked for, and needs no key."""
    async with serving(create_app(Settings(cors=CORS))) as url:
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type, x-api-key",
        }
        answer = await ask(url, "OPTIONS", "/v1/chat/stream", headers=headers)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == origin
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert answer.headers["access-control-allow-headers"] == "content-type, x-api-key"
    assert answer.headers["vary"] == "Origin"


async def test_with_keys_a_preflight_needs_none_and_loopback_is_no_exception() -> None:
    """Where keys exist, only the origins of the settings may call, and their preflight carries no key."""
    async with serving(create_app(Settings(cors=CORS, admin_key=Secret(ADMIN_KEY)))) as url:
        for origin, status in ((PAGE, 204), ("http://localhost:3000", 403)):
            headers = {"origin": origin, "access-control-request-method": "POST"}
            answer = await ask(url, "OPTIONS", "/v1/chat", headers=headers)
            assert answer.status == status
            assert answer.headers.get("access-control-allow-origin") == (origin if status == 204 else None)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[bad"])
async def test_a_preflight_of_a_stranger_is_refused(origin: str) -> None:
    """OPTIONS from a page that may not call says so and allows nothing."""
    async with serving(create_app(Settings(cors=CORS))) as url:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        answer = await ask(url, "OPTIONS", "/v1/chat/stream", headers=headers)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/v1/chat/stream", BODY, 200),
        ("POST", "/v1/chat", BODY, 200),
        ("GET", "/v1/chat?message=Hi&model=simulated/n1-d0", None, 200),
        ("GET", "/v1/streams", None, 200),
        ("POST", "/v1/chat/stream", {}, 422),
        ("POST", "/v1/chat/stream", {**BODY, "model": "simulated/e429"}, 429),
        ("GET", "/v1/streams/gen_1", None, 404),
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/chat/stream", None, 405),
    ],
)
async def test_answers_carry_cors_headers(method: str, target: str, body: object, status: int) -> None:
    """A page that may call can read every answer, errors too, and the headers that tell it what it got."""
    async with serving(create_app(Settings(cors=CORS))) as url:
        answer = await ask(url, method, target, body, headers={"origin": PAGE})
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "origin" in answer.headers["vary"].lower()
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed >= EXPOSED
    assert "access-control-allow-credentials" not in answer.headers


async def test_without_an_origin_nothing_is_said_of_cors() -> None:
    """What no browser sent has no CORS header; a stranger's refusal has none but `Vary`."""
    async with serving(create_app(Settings(cors=CORS))) as url:
        plain = await ask(url, "POST", "/v1/chat", BODY)
        strange = await ask(url, "POST", "/v1/chat", BODY, headers={"origin": "https://evil.example"})
    assert not [name for name in plain.headers if name.startswith("access-control")]
    assert strange.status == 403
    assert not [name for name in strange.headers if name.startswith("access-control")]
    assert strange.headers["vary"] == "Origin"


async def test_what_was_answered_is_counted() -> None:
    """`/metrics` counts requests by the route's own name and status: streams, refusals, and readers that left."""
    app = create_app()
    async with serving(app) as url:
        await ask(url, "POST", "/v1/chat/stream", BODY)
        await ask(url, "POST", "/v1/chat/stream", {})
        await ask(url, "POST", "/v1/chat", {**BODY, "model": "simulated/e500"})
        await ask(url, "GET", "/v1/streams/gen_made_up")
        await ask(url, "GET", "/nowhere/made_up")
        async with Reader(url) as reader:
            await reader.ask("POST", "/v1/chat", {**BODY, "model": "simulated/f60000"})
            await until(app.state.tailrace.generations.running)
        await until(lambda: not app.state.tailrace.generations.running())
        counts = (await ask(url, "GET", "/metrics")).body.decode()
    for route, status in (
        ("/v1/chat/stream", 200),
        ("/v1/chat/stream", 422),
        ("/v1/chat", 502),
        ("/v1/chat", 499),
        ("/v1/streams/{stream_id}", 404),
        ("other", 404),
    ):
        assert f'tailrace_requests_total{{route="{route}",status="{status}"}} 1.0' in counts
    assert "made_up" not in counts


async def test_what_nobody_expected_is_a_problem_too() -> None:
    """An exception in a route is 500 as problem JSON with the request's id, readable by the page, and says nothing
    of what it was."""
    app = create_app(Settings(cors=CORS))

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("canary")

    async with serving(app) as url:
        answer = await ask(url, "GET", "/broken", headers={"origin": PAGE})
        counts = (await ask(url, "GET", "/metrics")).body.decode()
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert b"canary" not in answer.body
    assert 'tailrace_requests_total{route="/broken",status="500"} 1.0' in counts
