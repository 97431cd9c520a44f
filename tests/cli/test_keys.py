"""`tailrace keys` on a real database: what it makes, shows, refuses, and never shows."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path

import pytest
from tests.cli.conftest import Command, tailrace


def made(command: Command, *flags: str) -> dict[str, object]:
    """A key that was made with these flags, as JSON."""
    status, out, err = command("keys", "create", "--json", *flags)
    assert (status, err) == (0, "")
    found: dict[str, object] = json.loads(out)
    return found


def listed(command: Command) -> list[dict[str, object]]:
    """All keys, as JSON."""
    found: list[dict[str, object]] = json.loads(command("keys", "list", "--json")[1])["data"]
    return found


def test_a_key_is_alone_on_stdout(folder: Path) -> None:
    """A script may take what `keys create` prints as the key; a person reads on stderr that it is shown once."""
    ran = tailrace(folder, "keys", "create", "--name", "Bob")
    assert ran.returncode == 0
    assert re.fullmatch(r"tr_[0-9a-z]{12}_[0-9A-Za-z]{43}\n", ran.stdout)
    assert ran.stderr.count("\n") == 1
    assert "not shown again" in ran.stderr
    assert ran.stdout.split("_")[2].strip() not in ran.stderr


def test_every_flag_arrives(command: Command) -> None:
    """What `create` was told is what `list` shows, and `update` changes only what it names."""
    key = made(
        command, "--name", "Bob", "--admin", "--rpm", "5", "--tpm", "100", "--max-streams", "2", "--models",
        "simulated, gpt-4o", "--budget-usd", "50/month", "--stripe-customer", "cus_1", "--expires", "30d",
        "--on-disconnect", "10",
    )  # fmt: skip
    expected = {
        "name": "Bob", "admin": True, "rpm": 5, "tpm": 100, "max_streams": 2, "budget_usd": "50/month",
        "models": ["simulated", "gpt-4o"], "stripe_customer": "cus_1", "on_disconnect": 10.0, "revoked_at": None,
    }  # fmt: skip
    assert {name: key[name] for name in expected} == expected
    (shown,) = listed(command)
    assert shown == {name: value for name, value in key.items() if name != "key"}
    status, out, _ = command(
        "keys", "update", str(key["id"]), "--rpm", "none", "--expires", "never", "--no-admin", "--tpm", "7", "--json"
    )
    assert status == 0
    assert json.loads(out) == {**shown, "rpm": None, "expires_at": None, "admin": False, "tpm": 7}


def test_a_key_is_revoked_by_its_id_or_itself(command: Command) -> None:
    """The list says so; a second time changes nothing; the key itself does for an id."""
    first, second = made(command, "--name", "a"), made(command, "--name", "b")
    for key in (first["id"], second["key"], first["id"]):
        assert command("keys", "revoke", str(key))[0] == 0
    assert [key["revoked_at"] is not None for key in listed(command)] == [True, True]
    assert command("keys", "list")[1].count("revoked") == 2


WRONG = [
    (["create"], "tailrace: Missing option '--name'"),
    (["create", "--name", "x", "--rpm", "0"], "tailrace: --rpm: Input should be greater than or equal to 1"),
    (["create", "--name", "x", "--tpm", "many"], "tailrace: --tpm: Input should be a valid integer"),
    (["create", "--name", "x", "--max-streams", "-1"], "tailrace: --max-streams: Input should be greater"),
    (["create", "--name", "x", "--budget-usd", "lots"], "tailrace: --budget-usd: must be an amount in USD above 0"),
    (["create", "--name", "x", "--models", "simulated,foo"], "tailrace: --models: there is no model 'foo'; there is"),
    (["create", "--name", "x", "--models", ","], "tailrace: --models: "),
    (["create", "--name", "x", "--expires", "30"], "tailrace: --expires: must be a span such as 30d"),
    (["create", "--name", "x", "--stripe-customer", "bob"], "tailrace: --stripe-customer: must be the id"),
    (["create", "--name", "x", "--on-disconnect", "stay"], "tailrace: --on-disconnect: Input should be cancel"),
    (["create", "--name", "a\x1b[2Jb"], "tailrace: --name: must be a text in one line"),
    (["create", "--name", "x", "--budget", "5"], "tailrace: No such option: --budget"),
    (["update"], "tailrace: Missing argument 'ID'"),
    (["update", "x"], "tailrace: Invalid value: say what to change"),
    (["update", "x", "--rpm", "5"], "tailrace: there is no key 'x'"),
    (["revoke", "x\x1b[2J\n"], r"tailrace: there is no key 'x\x1b[2J\n'"),
    (["revoke", "tr_0_" + "s" * 43], "tailrace: there is no key with this id\n"),
    (["lits"], "tailrace: No such command 'lits'. Did you mean 'list'?"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=[" ".join(case[0])[:40] for case in WRONG])
def test_a_wrong_flag_is_one_line_and_status_2(command: Command, arguments: list[str], expected: str) -> None:
    """One line on stderr that names the flag, nothing on stdout, status 2, and no key was made."""
    status, out, err = command("keys", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(expected)
    assert listed(command) == []


def test_without_a_command_there_is_help(command: Command) -> None:
    """`tailrace keys` and `tailrace db` say what there is."""
    for group, shown in (("keys", "revoke"), ("db", "upgrade")):
        status, out, err = command(group)
        assert (status, err) == (0, "")
        assert shown in out


def test_a_name_from_elsewhere_can_not_speak_to_the_terminal(command: Command, folder: Path) -> None:
    """A name that got into the database past our checks is shown with its control characters escaped."""
    made(command, "--name", "x")
    (path,) = folder.rglob("*.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE keys SET name = ?", ("\x1b[2J\x9b1m\u202eevil\nforged",))
    database.close()
    for flags in ([], ["--json"]):
        out = command("keys", "list", *flags)[1]
        assert not set("\x1b\x9b\u202e") & set(out)
        assert "evil" in out
        assert out.count("\n") == (1 if flags else 2)
    assert listed(command)[0]["name"] == "\x1b[2J\x9b1m\u202eevil\nforged"


def test_the_secret_is_in_no_file(command: Command, folder: Path) -> None:
    """After a key was made, listed and revoked, its secret is nowhere on disk, and its hash is in the database."""
    key = str(made(command, "--name", "x")["key"])
    command("keys", "list")
    command("keys", "revoke", key)
    secret = key.split("_")[2].encode()
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in content for content in files)
    assert any(hashlib.sha256(secret).digest() in content for content in files)


def test_a_database_that_can_not_be_used_is_one_line(command: Command) -> None:
    """The place of the setting, without the password in it."""
    address = "postgresql://user:canary-77@127.0.0.1:1/x"
    status, out, err = command("keys", "list", environ={"TAILRACE_DATABASE_URL": address})
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("tailrace: TAILRACE_DATABASE_URL: ")
    assert "canary-77" not in err
