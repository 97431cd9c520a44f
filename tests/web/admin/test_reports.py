"""`/v1/usage/series`, `/v1/usage/latency` and `/v1/spend`: figures as the ledger has them, for admins alone."""

from __future__ import annotations

import time

import pytest
from tests.web.admin.charted import latency, point, spending
from tests.web.admin.conftest import Desk, problem

from tailrace.ledger import Budget, Spread

pytestmark = pytest.mark.usefixtures("no_leaks")

ROUTES = ["/v1/overview", "/v1/usage/series", "/v1/usage/latency", "/v1/spend"]


@pytest.mark.parametrize("target", ROUTES)
async def test_only_admins_may(desk: Desk, target: str) -> None:
    """No key 401; a key that is no admin's 403, a browser token of an admin's too."""
    _, text = await desk.make_key()
    token = (await desk.ask("POST", "/v1/tokens", {})).json()["token"]
    assert problem(await desk.ask("GET", target, key=None)) == (401, "unauthorized", None)
    assert problem(await desk.ask("GET", target, key=text)) == (403, "admin_only", None)
    assert problem(await desk.ask("GET", target, key=token)) == (403, "admin_only", None)


async def test_a_series_is_asked_for_as_the_query_says(desk: Desk) -> None:
    """Step, split and time reach the ledger; days of a week by model without a word."""
    await desk.ask("GET", "/v1/usage/series?step=hour&by=status&since=2d")
    await desk.ask("GET", "/v1/usage/series")
    (step, split, since), (default_step, default_split, default_since) = desk.ledger.charted
    assert (step, split, default_step, default_split) == ("hour", "status", "day", "model")
    assert abs(time.time() - 2 * 86400 - since) < 60
    assert abs(time.time() - 7 * 86400 - default_since) < 60


async def test_a_point_shows_names_and_exact_money(desk: Desk) -> None:
    """Keys by name, what is no key any more by its id; money to the last digit, null where nothing had a price."""
    key, _ = await desk.make_key(name="Bob")
    desk.ledger.kept_points = [
        point(group=key.id, cost=123_456_789_012), point(group="gone", unpriced=1), point(group="local", unpriced=2)
    ]  # fmt: skip
    points = (await desk.ask("GET", "/v1/usage/series?by=key")).json()["data"]
    assert [item["name"] for item in points] == ["Bob", "gone", "local"]
    assert [item["cost_usd"] for item in points] == [0.123456789012, 0.5, None]
    assert points[0] | {"name": "", "group": "", "cost_usd": 0} == {
        "starts": 7200, "group": "", "name": "", "generations": 2, "input_tokens": 3, "output_tokens": 4,
        "cost_usd": 0, "unpriced": 0,
    }  # fmt: skip


async def test_latencies_are_the_ledgers(desk: Desk) -> None:
    """All models together first; what is not known is null."""
    desk.ledger.kept_latencies = [
        latency(), latency(model="m", between_tokens=Spread(answers=1, p50=2, p90=3, p99=4))
    ]  # fmt: skip
    first, second = (await desk.ask("GET", "/v1/usage/latency?since=1h")).json()["data"]
    spread = {"answers": 3, "p50": 1.5, "p90": 2.0, "p99": 9.0}
    assert first == {"model": None, "first_token_ms": spread, "between_tokens_ms": None}
    assert second["between_tokens_ms"] == {"answers": 1, "p50": 2, "p90": 3, "p99": 4}


@pytest.mark.parametrize(
    ("period", "spent", "left"), [("day", 0.000001, 0.299999), ("month", 0.2, 0.1), ("total", 2, 0)]
)
async def test_spend_stands_beside_its_budget(desk: Desk, period: str, spent: float, left: float) -> None:
    """What counts against a budget is its own period's; what is left is never below nothing."""
    key, _ = await desk.make_key(name="Bob", budget=Budget(amount=3 * 10**11, period=period))  # type: ignore[arg-type]
    desk.ledger.kept_spending = [spending(key_id=key.id, day=10**6, month=2 * 10**11, total=2 * 10**12)]
    (face,) = (await desk.ask("GET", "/v1/spend")).json()["data"]
    budget = face.pop("budget")
    assert face == {
        "key_id": key.id, "key_name": "Bob", "revoked": False, "day_usd": 0.000001, "month_usd": 0.2, "total_usd": 2,
    }  # fmt: skip
    assert (budget["amount_usd"], budget["spent_usd"], budget["left_usd"]) == (0.3, spent, left)
    assert (budget["resets_at"] is None) == (period == "total")
    if budget["resets_at"] is not None:
        ahead = budget["resets_at"] - time.time()
        assert 0 < ahead <= (86400 if period == "day" else 31 * 86400)


async def test_every_key_is_there_and_whatever_else_spent(desk: Desk) -> None:
    """A key that spent nothing, a revoked one, and the key of open mode."""
    idle, _ = await desk.make_key(name="idle")
    revoked, _ = await desk.make_key(name="old", revoked_at=1.0)
    desk.ledger.kept_spending = [spending(key_id="local")]
    faces = (await desk.ask("GET", "/v1/spend")).json()["data"]
    assert [(face["key_id"], face["key_name"], face["revoked"]) for face in faces] == [
        (idle.id, "idle", False), (revoked.id, "old", True), ("local", "local", False),
    ]  # fmt: skip
    assert [face["total_usd"] for face in faces] == [0, 0, 2]


@pytest.mark.parametrize(
    ("target", "code", "field"),
    [
        ("/v1/usage/series?step=week", "invalid_field", "step"),
        ("/v1/usage/series?step=hour&since=90d", "invalid_field", "step"),
        ("/v1/usage/series?by=user", "invalid_field", "by"),
        ("/v1/usage/latency?since=soon", "invalid_field", "since"),
        ("/v1/usage/latency?by=model", "unknown_field", "by"),
    ],
)
async def test_a_wrong_query_is_refused(desk: Desk, target: str, code: str, field: str) -> None:
    """422 with the parameter."""
    assert problem(await desk.ask("GET", target)) == (422, code, field)
