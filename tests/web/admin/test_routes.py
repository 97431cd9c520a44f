"""The documentation of the routes for keys, tokens and usage is true."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.web.admin.charted import fail_upstream, latency, point, spending
from tests.web.admin.conftest import Desk
from tests.web.test_figures import row, total

from tailrace.ledger import Budget

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_every_answer_is_as_the_document_says(desk: Desk) -> None:
    """What each route answers fits the schema that `/openapi.json` gives it, a refusal too."""
    paths = (await desk.ask("GET", "/openapi.json")).json()["paths"]
    budget = Budget(amount=10**12, period="month")
    key, _ = await desk.make_key(models=("simulated",), on_disconnect="10", budget=budget)
    await fail_upstream(desk.metrics.health)
    desk.ledger.kept_rows, desk.ledger.kept_totals = [row(), row(cost=None)], [total(), total(unpriced=2)]
    desk.ledger.kept_rows.append(row(id="gen_2", status="running", output_tokens=None))
    desk.ledger.kept_points, desk.ledger.kept_latencies = [point(), point(unpriced=2)], [latency(), latency(model="m")]
    desk.ledger.kept_spending = [spending(), spending(key_id=key.id)]
    asked: list[tuple[str, str, str, object]] = [
        ("POST", "/v1/keys", "/v1/keys", {"name": "n", "expires": "1h", "budget_usd": "5/day"}),
        ("POST", "/v1/keys", "/v1/keys", {"name": ""}),
        ("GET", "/v1/keys", "/v1/keys", None),
        ("PATCH", "/v1/keys/{key_id}", f"/v1/keys/{key.id}", {"rpm": 1}),
        ("DELETE", "/v1/keys/{key_id}", f"/v1/keys/{key.id}", None),
        ("PATCH", "/v1/keys/{key_id}", f"/v1/keys/{key.id}", {"rpm": 1}),
        ("POST", "/v1/tokens", "/v1/tokens", {"origin": "https://app.example"}),
        *(("GET", "/v1/usage", f"/v1/usage?by={by}", None) for by in ("key", "model", "day", "status")),
        ("GET", "/v1/usage/generations", "/v1/usage/generations", None),
        ("GET", "/v1/overview", "/v1/overview", None),
        ("GET", "/v1/usage/series", "/v1/usage/series", None),
        ("GET", "/v1/usage/latency", "/v1/usage/latency", None),
        ("GET", "/v1/spend", "/v1/spend", None),
    ]
    for method, path, target, body in asked:
        operation = paths[path][method.lower()]
        answer = await desk.ask(method, target, body)
        content = operation["responses"][str(answer.status)]["content"]
        schema = content[answer.headers["content-type"]]["schema"]
        Draft202012Validator(schema).validate(answer.json())
        if isinstance(body, dict) and answer.status < 300:
            sent: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
            Draft202012Validator(sent).validate(body)


async def test_queries_are_documented(desk: Desk) -> None:
    """Every parameter is there, and CSV is said to be an answer."""
    paths = (await desk.ask("GET", "/openapi.json")).json()["paths"]
    for path, names in (
        ("/v1/usage", ["by", "since", "format"]),
        ("/v1/usage/series", ["step", "by", "since"]),
        ("/v1/usage/latency", ["since"]),
        ("/v1/usage/generations", ["limit", "cursor", "format"]),
    ):
        operation = paths[path]["get"]
        assert [parameter["name"] for parameter in operation["parameters"]] == names
        assert ("text/csv" in operation["responses"]["200"]["content"]) == ("format" in names)
