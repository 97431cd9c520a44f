"""`/v1/keys`: by admins alone, with each field checked and no secret shown twice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.reader import Reader
from tests.web.admin.conftest import ADMIN_KEY, Desk, problem

from tailrace.keys import make_text

pytestmark = pytest.mark.usefixtures("no_leaks")

FIELDS = {
    "id", "name", "admin", "rpm", "tpm", "max_streams", "budget_usd", "models", "stripe_customer", "on_disconnect",
    "created_at", "expires_at", "revoked_at",
}  # fmt: skip
ROUTES: list[tuple[str, str, object]] = [
    ("POST", "/v1/keys", {"name": "n"}),
    ("GET", "/v1/keys", None),
    ("PATCH", "/v1/keys/x", {"rpm": 1}),
    ("DELETE", "/v1/keys/x", None),
]


async def test_a_key_is_made_used_changed_and_revoked(desk: Desk) -> None:
    """Its whole life over HTTP: shown once, it works at once, obeys changes, and is dead at once."""
    limits = {"rpm": 5, "tpm": 100, "max_streams": 2, "budget_usd": "50/month", "models": ["simulated"]}
    answer = await desk.ask("POST", "/v1/keys", {"name": "Bob", "expires": "30d", **limits})
    made = answer.json()
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    assert set(made) == FIELDS | {"key"}
    assert {name: made[name] for name in limits} == limits
    key = made.pop("key")
    assert key.startswith(f"tr_{made['id']}_")
    assert (await desk.ask("GET", "/who", key=key)).json()["name"] == made["id"]
    assert (await desk.ask("GET", "/v1/keys")).json() == {"data": [made]}
    target = f"/v1/keys/{made['id']}"
    changed = (await desk.ask("PATCH", target, {"rpm": None, "admin": True})).json()
    assert changed == {**made, "rpm": None, "admin": True}
    assert (await desk.ask("GET", "/who", key=key)).json()["admin"] is True
    revoked = (await desk.ask("DELETE", target)).json()
    assert revoked["revoked_at"] is not None
    assert problem(await desk.ask("GET", "/who", key=key)) == (401, "unauthorized", None)
    assert (await desk.ask("DELETE", target)).json() == revoked
    assert problem(await desk.ask("PATCH", target, {"rpm": 1})) == (409, "key_revoked", None)


@pytest.mark.parametrize(("method", "target", "body"), ROUTES, ids=[route[0] for route in ROUTES])
async def test_only_an_admin_may(desk: Desk, method: str, target: str, body: object) -> None:
    """No key 401; a key that is no admin's and any token 403, an admin's token too."""
    _, plain = await desk.make_key()
    tokens = [(await desk.ask("POST", "/v1/tokens", {}, key=key)).json()["token"] for key in (plain, ADMIN_KEY)]
    assert problem(await desk.ask(method, target, body, key=None)) == (401, "unauthorized", None)
    for key in (plain, *tokens):
        assert problem(await desk.ask(method, target, body, key=key)) == (403, "admin_only", None)
    assert len(await desk.ledger.keys()) == 1


async def test_who_may_not_is_told_before_the_body(desk: Desk) -> None:
    """The refusal does not wait for a body, and says nothing about it."""
    async with Reader(desk.url) as reader:
        await reader.ask("POST", "/v1/keys", b"", headers={"content-length": "100", "content-type": "text/plain"})
        assert problem(await reader.whole()) == (401, "unauthorized", None)


WRONG: list[tuple[str, Any, int, str, str | None]] = [
    ("not JSON", b"{", 400, "invalid_json", None),
    ("a list", [], 422, "invalid_field", None),
    ("rpm 0", {"name": "n", "rpm": 0}, 422, "invalid_field", "rpm"),
    ("an unknown model", {"name": "n", "models": ["foo"]}, 422, "invalid_field", "models"),
    ("a budget of words", {"name": "n", "budget_usd": "lots"}, 422, "invalid_field", "budget_usd"),
    ("a typo", {"name": "n", "rmp": 1}, 422, "unknown_field", "rmp"),
    ("an escape", {"name": "\x1b[2J"}, 422, "invalid_field", "name"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), [case[1:] for case in WRONG], ids=[c[0] for c in WRONG])
async def test_a_wrong_body_is_refused(desk: Desk, body: Any, status: int, code: str, field: str | None) -> None:
    """With the field that is wrong, on making and on changing, and nothing is kept."""
    key, _ = await desk.make_key()
    assert problem(await desk.ask("POST", "/v1/keys", body)) == (status, code, field)
    assert problem(await desk.ask("PATCH", f"/v1/keys/{key.id}", body)) == (status, code, field)
    assert await desk.ledger.keys() == [key]


async def test_what_is_not_there_is_404_and_not_repeated(desk: Desk) -> None:
    """An unknown id is said back; a whole key in its place is not."""
    assert "'nope'" in (await desk.ask("DELETE", "/v1/keys/nope")).json()["detail"]
    secret = make_text().reveal()
    answer = await desk.ask("DELETE", f"/v1/keys/{secret}")
    assert problem(answer) == (404, "key_not_found", None)
    assert secret not in answer.body.decode()


async def test_another_type_and_a_large_body_are_refused(desk: Desk) -> None:
    """JSON alone, and no more than a key can need."""
    assert (await desk.ask("POST", "/v1/keys", b"{}", content_type="text/plain")).status == 415
    assert (await desk.ask("POST", "/v1/keys", b" " * (2**20 + 1))).status == 413


async def test_a_database_that_is_down_is_503(desk: Desk) -> None:
    """It says so, without what the database said, and when to come again."""
    desk.ledger.down = True
    for method, target, body in ROUTES:
        answer = await desk.ask(method, target, body)
        assert problem(answer) == (503, "store_unavailable", None)
        assert answer.headers["retry-after"] == "1"
        assert "fake" not in answer.json()["detail"]
