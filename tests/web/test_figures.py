"""Usage as JSON and CSV: every column, exact money, and nothing that a spreadsheet or a terminal would run."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tailrace.dialects.base import json_bytes
from tailrace.ledger import Row, Scope, Total
from tailrace.web.figures import ROW_COLUMNS, as_csv, as_json, read_row, read_total, total_columns

COLUMNS = [
    "id",
    "created_at",
    "key_id",
    "user",
    "provider",
    "model",
    "session_id",
    "status",
    "reason",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cached_input_tokens",
    "source",
    "delivered_tokens",
    "cost_usd",
    "ttft_ms",
    "duration_ms",
]


def row(**changes: Any) -> Row:
    """A settled generation."""
    fields: dict[str, Any] = {
        "id": "gen_1", "created_at": 1.5, "scope": Scope(key_id="k", user="u"), "provider": "openai", "model": "gpt",
        "session_id": None, "status": "finished", "reason": "stop", "input_tokens": 3, "output_tokens": 4,
        "reasoning_tokens": None, "cached_input_tokens": 0, "source": "reported", "delivered_tokens": 4,
        "cost": 1_234_567, "price": None, "ttft_ms": 12.5, "duration_ms": 99.0,
    }  # fmt: skip
    return Row(**{**fields, **changes})


def total(**changes: Any) -> Total:
    """A sum over a key."""
    fields: dict[str, Any] = {
        "group": "k", "generations": 2, "input_tokens": 3, "output_tokens": 4, "reasoning_tokens": 5,
        "cached_input_tokens": 6, "delivered_tokens": 7, "cost": 5 * 10**11, "unpriced": 1,
    }  # fmt: skip
    return Total(**{**fields, **changes})


def read_csv(text: str) -> list[list[str]]:
    """The rows of a CSV."""
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_row_has_every_column_in_order() -> None:
    """The columns are those that the interface names."""
    assert list(ROW_COLUMNS) == COLUMNS
    assert list(read_row(row())) == COLUMNS


def test_money_is_an_exact_number() -> None:
    """A cost is a JSON number with all its digits and no exponent; without a price it is null."""
    assert b'"cost_usd":0.000001234567,' in json_bytes(as_json(read_row(row())))
    assert json.loads(json_bytes(as_json(read_row(row(cost=None)))))["cost_usd"] is None


@pytest.mark.parametrize("by", ["key", "model", "day"])
def test_a_sum_names_what_it_sums(by: Any) -> None:
    """Its first column is what was asked for; a key comes with its name."""
    figures = read_total(total(), by, {"k": "Bob"})
    assert tuple(figures) == total_columns(by)
    assert figures[total_columns(by)[0]] == "k"
    assert figures.get("key_name") == ("Bob" if by == "key" else None)


def test_a_sum_without_any_price_has_no_cost() -> None:
    """Nothing priced is null, which is not the same as free."""
    assert read_total(total(unpriced=2), "day", {})["cost_usd"] is None
    assert read_total(total(), "day", {})["cost_usd"] == "0.5"
    assert read_total(total(cost=0, unpriced=0), "day", {})["cost_usd"] == "0"


DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("x")', "\uff1d1", "\t=1", "\r=1", "\n=1", "\x00=1"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_is_a_formula(text: str) -> None:
    """A text that a spreadsheet would compute is preceded by an apostrophe, or by the escape of what it begins with."""
    cell = read_csv(as_csv(ROW_COLUMNS, [read_row(row(model=text))]))[1][COLUMNS.index("model")]
    assert cell[0] in "'\\"


def test_no_cell_speaks_to_a_terminal() -> None:
    """Control characters in names are shown as escapes; other letters stay as they are."""
    text = as_csv(ROW_COLUMNS, [read_row(row(scope=Scope(key_id="k", user='ключ, "x"\x1b[2J\x9b1m\u202e\n')))])
    assert not set("\x1b\x9b\u202e") & set(text)
    assert read_csv(text)[1][3] == 'ключ, "x"\\x1b[2J\\x9b1m\\u202e\\n'


def test_csv_has_a_head_and_empty_cells() -> None:
    """Columns first; what is not known is empty; lines end as RFC 4180 says."""
    text = as_csv(ROW_COLUMNS, [read_row(row(cost=None, scope=Scope()))])
    assert text.count("\r\n") == 2
    head, line = read_csv(text)
    assert head == COLUMNS
    assert line[2] == line[3] == line[15] == ""
