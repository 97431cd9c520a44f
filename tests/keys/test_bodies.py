"""What may be said of a key: which field is wrong, and what a right one means."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tailrace.errors import RequestError
from tailrace.keys import KeyChanges, NewKey, check_models, parse_flags, parse_json
from tailrace.ledger import Budget
from tailrace.settings import Models, Settings

MODELS = Models(Settings())

WRONG: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("no name", {}, "invalid_field", "name", "required"),
    ("an empty name", {"name": " "}, "invalid_field", "name", "one line"),
    ("a name of two lines", {"name": "a\nb"}, "invalid_field", "name", "control"),
    ("an escape in a name", {"name": "\x1b[31m"}, "invalid_field", "name", "control"),
    ("a turned name", {"name": "a\u202eb"}, "invalid_field", "name", "control"),
    ("a long name", {"name": "n" * 201}, "invalid_field", "name", "200"),
    ("rpm 0", {"name": "n", "rpm": 0}, "invalid_field", "rpm", "greater than or equal to 1"),
    ("tpm below 0", {"name": "n", "tpm": -1}, "invalid_field", "tpm", "greater than or equal to 1"),
    ("half a stream", {"name": "n", "max_streams": 0.5}, "invalid_field", "max_streams", "integer"),
    ("a budget of words", {"name": "n", "budget_usd": "lots"}, "invalid_field", "budget_usd", "50/month"),
    ("no budget", {"name": "n", "budget_usd": "0"}, "invalid_field", "budget_usd", "above 0"),
    ("no models", {"name": "n", "models": []}, "invalid_field", "models", "at least 1"),
    ("models as a text", {"name": "n", "models": "a"}, "invalid_field", "models", "array"),
    ("a customer", {"name": "n", "stripe_customer": "bob"}, "invalid_field", "stripe_customer", "cus_"),
    ("expires as a number", {"name": "n", "expires": 30}, "invalid_field", "expires", "30d"),
    ("expires without a unit", {"name": "n", "expires": "30"}, "invalid_field", "expires", "30d"),
    ("expired before", {"name": "n", "expires": "2020-01-01"}, "invalid_field", "expires", "to come"),
    ("a policy", {"name": "n", "on_disconnect": "stay"}, "invalid_field", "on_disconnect", "cancel"),
    ("null for admin", {"name": "n", "admin": None}, "invalid_field", "admin", "boolean"),
    ("a typo", {"name": "n", "max_stream": 1}, "unknown_field", "max_stream", "did you mean max_streams?"),
    ("an id", {"name": "n", "id": "x"}, "unknown_field", "id", "unknown field"),
]


@pytest.mark.parametrize(
    ("body", "code", "field", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_a_wrong_field_is_named(body: dict[str, Any], code: str, field: str, words: str) -> None:
    """Each wrong field is refused with 422, its own name, and words that help."""
    with pytest.raises(RequestError) as caught:
        parse_json(json.dumps(body).encode(), NewKey)
    error = caught.value
    assert (error.status, error.code, error.field) == (422, code, field)
    assert words in error.message


def test_what_is_not_json_is_refused() -> None:
    """No JSON: 400, and nothing about fields."""
    with pytest.raises(RequestError) as caught:
        parse_json(b"{", NewKey)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_a_body_becomes_a_keys_fields() -> None:
    """Every field arrives in the ledger's words."""
    before = time.time()
    body = {
        "name": "n", "admin": True, "rpm": 1, "tpm": 2, "max_streams": 3, "budget_usd": "50/month",
        "models": ["simulated", "gpt-4o", "simulated"], "stripe_customer": "cus_1", "expires": "30d",
        "on_disconnect": 2.5,
    }  # fmt: skip
    fields = parse_json(json.dumps(body).encode(), NewKey).to_fields(MODELS)
    assert before <= fields.pop("expires_at") - 30 * 86400 <= time.time()
    assert fields == {
        "name": "n", "admin": True, "rpm": 1, "tpm": 2, "max_streams": 3, "stripe_customer": "cus_1",
        "budget": Budget(amount=50 * 10**12, period="month"), "models": ("simulated", "gpt-4o"), "on_disconnect": "2.5",
    }  # fmt: skip


def test_a_change_says_only_what_it_names() -> None:
    """A field that is left out is not touched, and null takes a limit away."""
    assert parse_json(b"{}", KeyChanges).to_fields(MODELS) == {}
    nulls = {"rpm": None, "budget_usd": None, "models": None, "expires": None, "on_disconnect": None}
    fields = parse_json(json.dumps(nulls).encode(), KeyChanges).to_fields(MODELS)
    assert fields == {"rpm": None, "budget": None, "models": None, "expires_at": None, "on_disconnect": None}


def test_flags_may_be_texts() -> None:
    """What a shell gives as text is a number where a number is meant, which JSON must say itself."""
    assert parse_flags({"name": "n", "rpm": "5"}, NewKey).rpm == 5
    with pytest.raises(RequestError, match="rpm"):
        parse_json(b'{"name":"n","rpm":"5"}', NewKey)


def test_an_unknown_model_is_refused_and_one_that_is_off_is_not() -> None:
    """An allow-list names models that there are; a provider may be switched on later."""
    with pytest.raises(RequestError, match="no model 'foo'") as caught:
        check_models(["simulated", "foo"], MODELS)
    assert (caught.value.status, caught.value.field) == (422, "models")
    assert check_models(["gpt-4o"], MODELS) == ("gpt-4o",)
