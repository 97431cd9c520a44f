"""`tailrace usage`: sums of what a ledger really holds, for people, programs and spreadsheets."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from tailrace.ledger import Key, Opening, Price, Scope, Settlement, create_ledger
from tailrace.settings import Settings

NAME = "=cmd()"
MODEL = "openai/\x1b[2Jgpt"


@pytest.fixture
def data(folder: Path) -> Path:
    """A ledger with one key and two settled generations, one of them without a price."""
    asyncio.run(_fill(Settings(data_dir=folder / "data")))
    return folder / "data"


async def _fill(settings: Settings) -> None:
    ledger = create_ledger(settings)
    await ledger.open()
    await ledger.add_key(Key(id="k1", name=NAME, created_at=time.time()), b"x" * 32)
    for number, cost in enumerate((1_500_000_000_000, None)):
        now = time.time()
        name = f"gen_{number:024x}"
        await ledger.begin(
            Opening(id=name, created_at=now, scope=Scope(key_id="k1"), provider="openai", model=MODEL, input_tokens=3)
        )
        await ledger.settle(
            Settlement(
                id=name, status="finished", reason="stop", input_tokens=3, output_tokens=4, source="reported",
                delivered_tokens=4, cost=cost, price=Price(input=1, cached_input=1, output=1), duration_ms=5.0,
                settled_at=now,
            )
        )  # fmt: skip
    await ledger.close()


def test_sums_for_people(command: Command, data: Path) -> None:
    """A table, a key with its name, money in USD, and no letter that the terminal would obey."""
    status, out, err = command("usage", environ={"TAILRACE_DATA_DIR": str(data)})
    assert (status, err) == (0, "")
    head, line = out.splitlines()
    assert head.split() == [
        "KEY",
        "GENERATIONS",
        "INPUT",
        "OUTPUT",
        "REASONING",
        "CACHED",
        "DELIVERED",
        "USD",
        "UNPRICED",
    ]
    assert line.split() == ["k1", f"({NAME})", "2", "6", "8", "0", "0", "8", "1.5", "1"]
    out = command("usage", "--by", "model", environ={"TAILRACE_DATA_DIR": str(data)})[1]
    assert "\x1b" not in out
    assert r"\x1b[2J" in out


def test_sums_for_programs(command: Command, data: Path) -> None:
    """The same as the endpoint's JSON."""
    _, out, _ = command("usage", "--by", "key", "--json", environ={"TAILRACE_DATA_DIR": str(data)})
    assert json.loads(out) == {
        "data": [
            {
                "key_id": "k1", "key_name": NAME, "generations": 2, "input_tokens": 6, "output_tokens": 8,
                "reasoning_tokens": 0, "cached_input_tokens": 0, "delivered_tokens": 8, "cost_usd": 1.5, "unpriced": 1,
            }
        ]
    }  # fmt: skip
    assert out.isascii()
    _, out, _ = command("usage", "--by", "day", "--json", environ={"TAILRACE_DATA_DIR": str(data)})
    assert json.loads(out)["data"][0]["day"] in {
        time.strftime("%Y-%m-%d", time.gmtime(time.time() - s)) for s in (0, 60)
    }


def test_sums_for_spreadsheets(command: Command, data: Path) -> None:
    """CSV with its head, in which no name is a formula."""
    _, out, _ = command("usage", "--csv", environ={"TAILRACE_DATA_DIR": str(data)})
    head, line = csv.reader(io.StringIO(out, newline=""))
    assert head[:2] == ["key_id", "key_name"]
    assert line[:3] == ["k1", f"'{NAME}", "2"]


def test_bars_on_a_terminal(command: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a person looks, each row ends in a bar; the most output has the longest."""
    monkeypatch.setattr("tailrace.cli.usage._is_terminal", lambda: True)
    status, out, _ = command("usage", "--by", "model", environ={"TAILRACE_DATA_DIR": str(data)})
    assert status == 0
    assert out.splitlines()[-1].endswith("█" * 24)


def test_what_is_older_is_left_out(command: Command, data: Path) -> None:
    """`--since` with a span that has just begun, or a day that has not yet been."""
    for since in ("0m", "2999-01-01"):
        _, out, _ = command("usage", "--json", "--since", since, environ={"TAILRACE_DATA_DIR": str(data)})
        assert json.loads(out) == {"data": []}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--by", "user"], "tailrace: --by: Input should be 'key', 'model', 'day' or 'status'"),
        (["--since", "yesterday"], "tailrace: --since: must be a span such as 7d"),
        (["--json", "--csv"], "tailrace: Invalid value: give --json or --csv, not both"),
        (["more"], "tailrace: Got unexpected extra argument"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(command: Command, arguments: list[str], expected: str) -> None:
    """It names the flag and says what would be right."""
    status, out, err = command("usage", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(expected)
