"""Signing in to our own pages: what the cookie lets them do, and that nothing else may use it."""

from __future__ import annotations

import msgspec
import pytest
from starlette.requests import Request
from tests.ledger_fake import FakeLedger
from tests.reader import Reader, ask
from tests.server import running_server
from tests.web.auth.asking import ADMIN_KEY, NOW, Clock, add_key, carrying, refusal, request

from tailrace.errors import RequestError
from tailrace.web.auth import ADMIN, COOKIE, LIFE_S, Caller, KeyGate, Terms

pytestmark = pytest.mark.usefixtures("no_leaks")

SAME = {"sec-fetch-site": "same-origin"}


async def signed_in(gate: KeyGate, text: str) -> str:
    """The cookie of a page that was given this key."""
    return (await gate.sign_in(text, request())).token


def page(cookie: str, method: str = "GET", **headers: str) -> Request:
    """A request with this cookie."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request({"cookie": f"{COOKIE}={cookie}", "host": "ai.example", **named}, method=method)


async def test_the_cookie_is_the_key(gate: KeyGate, ledger: FakeLedger) -> None:
    """Whoever signed in with a key is its caller, an admin with an admin's; a wrong key signs nobody in."""
    key, text = await add_key(ledger)
    assert await gate.admit(page(await signed_in(gate, text), sec_fetch_site="same-origin")) == Caller(key=key)
    assert await gate.admit(page(await signed_in(gate, ADMIN_KEY))) == Caller(key=ADMIN)
    wrong = await refusal_of_sign_in(gate, text[:-1] + "!")
    assert wrong == 401


async def refusal_of_sign_in(gate: KeyGate, text: str) -> int:
    """The status with which a key is refused at the door."""
    with pytest.raises(RequestError) as caught:
        await gate.sign_in(text, request())
    return caught.value.status


async def test_the_cookie_dies_with_its_key_and_its_time(gate: KeyGate, ledger: FakeLedger, clock: Clock) -> None:
    """A revoked key's pages are signed out, and every page after twelve hours."""
    key, text = await add_key(ledger)
    cookie = await signed_in(gate, text)
    clock.now = NOW + LIFE_S
    assert (await refusal(gate, page(cookie))).status == 401
    clock.now = NOW
    assert (await gate.admit(page(cookie))).key == key
    await ledger.change_key(msgspec.structs.replace(key, revoked_at=NOW))
    await gate.refresh()
    assert (await refusal(gate, page(cookie))).status == 401


async def test_a_cookie_is_no_token_and_a_token_no_cookie(gate: KeyGate, ledger: FakeLedger) -> None:
    """What a page keeps opens nothing as a header or in a query; a browser token opens nothing as a cookie."""
    _, text = await add_key(ledger)
    cookie = await signed_in(gate, text)
    for asked in (carrying(cookie), request(query=f"token={cookie}"), request({"authorization": f"Bearer {cookie}"})):
        assert (await refusal(gate, asked)).status == 401
    token = gate.issue(await gate.admit(carrying(text)), Terms(ttl_s=60)).token
    for bad in (token, text, "", "trt_x.y"):
        assert (await refusal(gate, page(bad))).status == 401


@pytest.mark.parametrize(
    ("method", "headers", "passes"),
    [
        ("GET", {}, True),
        ("GET", {"sec_fetch_site": "none"}, True),
        ("GET", {"sec_fetch_site": "same-origin"}, True),
        ("GET", {"sec_fetch_site": "same-site"}, False),
        ("GET", {"sec_fetch_site": "cross-site"}, False),
        ("GET", {"origin": "https://evil.example"}, False),
        ("POST", {}, False),
        ("POST", {"sec_fetch_site": "none"}, False),
        ("POST", {"sec_fetch_site": "same-origin", "origin": "https://ai.example"}, True),
        ("POST", {"sec_fetch_site": "cross-site", "origin": "https://ai.example"}, False),
        ("POST", {"origin": "https://ai.example"}, True),
        ("POST", {"origin": "https://AI.example:443"}, True),
        ("POST", {"origin": "http://ai.example:8000"}, False),
        ("POST", {"origin": "https://ai.example.evil.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": "https://["}, False),
        ("DELETE", {"origin": "https://evil.example"}, False),
    ],
)
async def test_only_our_own_pages_may_use_it(
    gate: KeyGate, ledger: FakeLedger, method: str, headers: dict[str, str], passes: bool
) -> None:
    """Whatever a browser tells of where a request comes from must be this very origin."""
    _, text = await add_key(ledger)
    asked = page(await signed_in(gate, text), method, **headers)
    if passes:
        await gate.admit(asked)
    else:
        assert (await refusal(gate, asked)).status == 403


async def test_signing_in_over_http() -> None:
    """The cookie is HttpOnly, SameSite=Strict and for the whole site; with it the API answers; out is out."""
    async with running_server(env={"TAILRACE_ADMIN_KEY": ADMIN_KEY}) as server:
        assert (await ask(server.url, "GET", "/session")).json() == {"open": False, "signed_in": False}
        refused = await ask(server.url, "POST", "/session", {"key": "tr_wrong"}, headers=SAME)
        assert (refused.status, refused.json()["code"]) == (401, "unauthorized")
        elsewhere = {"origin": "https://evil.example"}
        assert (await ask(server.url, "POST", "/session", {"key": ADMIN_KEY}, headers=elsewhere)).status == 403
        answer = await ask(server.url, "POST", "/session", {"key": ADMIN_KEY}, headers=SAME)
        set_cookie = answer.headers["set-cookie"]
        assert answer.status == 200
        for mark in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LIFE_S}"):
            assert mark in set_cookie
        cookie = {"cookie": set_cookie.partition(";")[0]}
        told = (await ask(server.url, "GET", "/session", headers=cookie)).json()
        assert told == {"open": False, "signed_in": True, "name": "admin", "admin": True}
        assert (await ask(server.url, "GET", "/v1/keys", headers=cookie)).status == 200
        async with Reader(server.url) as reader:
            await reader.ask("POST", "/v1/chat/stream", {"message": "Hi"}, headers={**cookie, **SAME})
            assert (await reader.whole()).status == 200
        out = await ask(server.url, "DELETE", "/session", headers={**cookie, **SAME})
        assert "Max-Age=0" in out.headers["set-cookie"]


async def test_in_open_mode_nobody_needs_to_sign_in() -> None:
    """A page learns that this machine may as it is."""
    async with running_server() as server:
        told = (await ask(server.url, "GET", "/session")).json()
    assert told == {"open": True, "signed_in": True, "name": "local", "admin": True}
