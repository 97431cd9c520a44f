"""`/v1/tokens`: what a key hands to a browser, and no more than the key has."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.web.admin.conftest import ADMIN_KEY, Desk, problem

from tailrace.web.auth import IdentifyGate

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_token_is_issued_and_works(desk: Desk) -> None:
    """With its user and session, as `?token=` as well, until the time that the answer names."""
    key, text = await desk.make_key()
    answer = await desk.ask("POST", "/v1/tokens", {"ttl_seconds": 120, "user": "u", "session_id": "s"}, key=text)
    issued = answer.json()
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert abs(issued["expires_at"] - time.time() - 120) < 30
    expected = {"name": f"{key.id}/u", "admin": False, "session": "s"}
    assert (await desk.ask("GET", f"/who?token={issued['token']}", key=None)).json() == expected


async def test_a_token_lives_a_minute_by_default(desk: Desk) -> None:
    """An empty body is enough."""
    issued = (await desk.ask("POST", "/v1/tokens", {})).json()
    assert abs(issued["expires_at"] - time.time() - 60) < 30


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("no time", {"ttl_seconds": 0}, "ttl_seconds"),
    ("more than an hour", {"ttl_seconds": 3601}, "ttl_seconds"),
    ("half a second", {"ttl_seconds": 0.5}, "ttl_seconds"),
    ("no user", {"user": ""}, "user"),
    ("an escape", {"user": "\x1b"}, "user"),
    ("no session", {"session_id": ""}, "session_id"),
    ("an unknown model", {"models": ["foo"]}, "models"),
    ("no models", {"models": []}, "models"),
    ("an origin with a path", {"origin": "https://app.example/x"}, "origin"),
    ("an origin with a user", {"origin": "https://u@app.example"}, "origin"),
    ("an origin without a scheme", {"origin": "app.example"}, "origin"),
    ("a typo", {"ttl": 5}, "ttl"),
]


@pytest.mark.parametrize(("body", "field"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
async def test_a_wrong_term_is_named(desk: Desk, body: dict[str, Any], field: str) -> None:
    """422 with the field."""
    status, _, named = problem(await desk.ask("POST", "/v1/tokens", body))
    assert (status, named) == (422, field)


async def test_a_token_allows_no_model_that_its_key_does_not(desk: Desk) -> None:
    """Outside the key's own list: 403; one whose provider is off may be named."""
    _, text = await desk.make_key(models=("simulated", "gpt-4o"))
    answer = await desk.ask("POST", "/v1/tokens", {"models": ["simulated/n1"]}, key=text)
    assert problem(answer) == (403, "model_not_allowed", "model")
    assert (await desk.ask("POST", "/v1/tokens", {"models": ["simulated", "gpt-4o"]}, key=text)).status == 200


async def test_a_token_makes_no_token(desk: Desk) -> None:
    """Else one could live for ever."""
    token = (await desk.ask("POST", "/v1/tokens", {})).json()["token"]
    assert problem(await desk.ask("POST", "/v1/tokens", {}, key=token)) == (403, "token_scope", None)


async def test_a_token_is_bound_to_its_origin(desk: Desk) -> None:
    """Only pages of that origin may carry it."""
    token = (await desk.ask("POST", "/v1/tokens", {"origin": "https://App.example"})).json()["token"]
    assert (await desk.ask("GET", "/who", key=token, origin="https://app.example")).status == 200
    for headers in ({"origin": "https://evil.example"}, {}, {"sec_fetch_site": "cross-site"}):
        answer = await desk.ask("GET", "/who", key=token, **headers)
        assert problem(answer) == (403, "origin_refused", None)


async def test_an_application_with_users_of_its_own_makes_its_own_tokens() -> None:
    """There is no key that a token could stand for."""
    async with Desk(IdentifyGate(lambda _: "alice")).running() as desk:
        assert problem(await desk.ask("POST", "/v1/tokens", {})) == (403, "keys_only", None)


async def test_a_revoked_keys_token_is_dead(desk: Desk) -> None:
    """At once where it was revoked."""
    key, text = await desk.make_key()
    token = (await desk.ask("POST", "/v1/tokens", {}, key=text)).json()["token"]
    assert (await desk.ask("GET", f"/who?token={token}", key=None)).status == 200
    await desk.ask("DELETE", f"/v1/keys/{key.id}", key=ADMIN_KEY)
    assert problem(await desk.ask("GET", f"/who?token={token}", key=None)) == (401, "unauthorized", None)
