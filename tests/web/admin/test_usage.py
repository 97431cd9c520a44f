"""`/v1/usage`: one's own, everyone's for an admin, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import time

import pytest
from tests.web.admin.conftest import Desk, problem
from tests.web.test_figures import COLUMNS, row, total

from tailrace.ledger import Scope

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_sums_are_asked_for_as_the_query_says(desk: Desk) -> None:
    """`by` and `since` reach the ledger; by key and for a week by default; own usage only, all of it for an admin."""
    key, text = await desk.make_key(name="Bob")
    desk.ledger.kept_totals = [total(group=key.id)]
    answer = await desk.ask("GET", "/v1/usage", key=text)
    assert answer.json()["data"][0] == {
        "key_id": key.id, "key_name": "Bob", "generations": 2, "input_tokens": 3, "output_tokens": 4,
        "reasoning_tokens": 5, "cached_input_tokens": 6, "delivered_tokens": 7, "cost_usd": 0.5, "unpriced": 1,
    }  # fmt: skip
    await desk.ask("GET", "/v1/usage?by=day&since=2026-01-31")
    (own, by_key, since), everyone = desk.ledger.asked
    assert (own, by_key) == (Scope(key_id=key.id), "key")
    assert abs(time.time() - 7 * 86400 - since) < 60
    assert everyone == (Scope(), "day", 1769817600.0)


async def test_an_admin_sees_names_and_others_only_their_own(desk: Desk) -> None:
    """Keys' names are for admins; a key's holder learns its own."""
    key, text = await desk.make_key(name="Bob")
    other, _ = await desk.make_key(name="Eve")
    desk.ledger.kept_totals = [total(group=key.id), total(group=other.id)]
    names = [item["key_name"] for item in (await desk.ask("GET", "/v1/usage")).json()["data"]]
    assert names == ["Bob", "Eve"]
    names = [item["key_name"] for item in (await desk.ask("GET", "/v1/usage", key=text)).json()["data"]]
    assert names == ["Bob", None]


async def test_generations_come_in_pages_and_are_ones_own(desk: Desk) -> None:
    """Newest first, with a cursor; another key's are not among them."""
    key, text = await desk.make_key()
    own, strange = Scope(key_id=key.id), Scope(key_id="other")
    desk.ledger.kept_rows = [row(id=f"gen_{number}", scope=own if number % 2 else strange) for number in range(6)]
    first = (await desk.ask("GET", "/v1/usage/generations?limit=2", key=text)).json()
    assert [item["id"] for item in first["data"]] == ["gen_1", "gen_3"]
    assert list(first["data"][0]) == COLUMNS
    target = f"/v1/usage/generations?limit=2&cursor={first['next_cursor']}"
    second = (await desk.ask("GET", target, key=text)).json()
    assert ([item["id"] for item in second["data"]], second["next_cursor"]) == (["gen_5"], None)
    assert len((await desk.ask("GET", "/v1/usage/generations")).json()["data"]) == 6


@pytest.mark.parametrize(
    ("target", "headers"),
    [("?format=csv", {}), ("", {"accept": "text/csv"}), ("?format=csv", {"accept": "application/json"})],
)
async def test_csv_where_it_is_asked_for(desk: Desk, target: str, headers: dict[str, str]) -> None:
    """By `?format=csv` or Accept; names can't run in a spreadsheet; the next page's cursor is in a header."""
    key, _ = await desk.make_key(name="=cmd()")
    desk.ledger.kept_rows = [row(), row(id="gen_2", model="@x")]
    desk.ledger.kept_totals = [total(group=key.id)]
    answer = await desk.ask("GET", f"/v1/usage{target}", **headers)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert list(csv.reader(io.StringIO(answer.body.decode())))[1][:3] == [key.id, "'=cmd()", "2"]
    answer = await desk.ask("GET", f"/v1/usage/generations{target}", **headers)
    head, _, second = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert (head, second[5]) == (COLUMNS, "'@x")
    assert "x-next-cursor" not in answer.headers
    answer = await desk.ask("GET", f"/v1/usage/generations{target or '?'}&limit=1", **headers)
    assert answer.headers["x-next-cursor"] == "1"


@pytest.mark.parametrize(
    ("target", "code", "field"),
    [
        ("/v1/usage?by=user", "invalid_field", "by"), ("/v1/usage?since=yesterday", "invalid_field", "since"),
        ("/v1/usage?sinse=7d", "unknown_field", "sinse"), ("/v1/usage?format=xml", "invalid_field", "format"),
        ("/v1/usage/generations?limit=0", "invalid_field", "limit"),
        ("/v1/usage/generations?limit=501", "invalid_field", "limit"),
        ("/v1/usage/generations?limit=x", "invalid_field", "limit"),
        ("/v1/usage/generations?page=2", "unknown_field", "page"),
    ],
)  # fmt: skip
async def test_a_wrong_query_is_refused(desk: Desk, target: str, code: str, field: str) -> None:
    """422 with the parameter."""
    assert problem(await desk.ask("GET", target)) == (422, code, field)


@pytest.mark.parametrize("target", ["/v1/usage", "/v1/usage/generations"])
async def test_usage_is_for_keys(desk: Desk, target: str) -> None:
    """No key 401, a token 403."""
    token = (await desk.ask("POST", "/v1/tokens", {})).json()["token"]
    assert problem(await desk.ask("GET", target, key=None)) == (401, "unauthorized", None)
    assert problem(await desk.ask("GET", target, key=token)) == (403, "token_scope", None)
    assert problem(await desk.ask("GET", f"{target}?token={token}", key=None)) == (403, "token_scope", None)
