"""Allow-lists compare what names stand for."""

from __future__ import annotations

import pytest

from tailrace.errors import RequestError
from tailrace.ledger import Key
from tailrace.settings import Models, ModelSettings, ProviderSettings, Secret, Settings
from tailrace.web.auth import AllowLists, Caller

MODELS = Models(
    Settings(
        providers={"openai": ProviderSettings(kind="openai", api_key=Secret("x"), default_model="gpt-4o-mini")},
        models={
            "fast": ModelSettings(provider="openai", model="gpt-4o-mini"),
            "safe": ModelSettings(provider="openai", model="gpt-4o-mini", fallback=("openai/o3",)),
            "openai/gpt-4o": ModelSettings(provider="simulated", model="n1"),
        },
    )
)


def caller(*names: str, token: tuple[str, ...] | None = None) -> Caller:
    """A caller whose key may use these."""
    return Caller(key=Key(id="k", name="n", created_at=0.0, models=names or None), models=token)


@pytest.mark.parametrize(
    ("allowed", "asked", "passes"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini", True), ("gpt-4o-mini", "openai/gpt-4o-mini", True),
        ("fast", "gpt-4o-mini", True), ("gpt-4o-mini", "fast", True), ("safe", "safe", True),
        ("gpt-4o-mini", "safe", False), ("safe", "gpt-4o-mini", False), ("fast", "o3", False),
        ("simulated", "simulated", True), ("simulated", "simulated/n2", False), ("fast", "simulated", False),
    ],
)  # fmt: skip
def test_names_of_one_model_are_one(allowed: str, asked: str, passes: bool) -> None:
    """Two names of one model are one; an entry that may fall back to others is another than its first model."""
    assert AllowLists(MODELS).allow(caller(allowed), MODELS.resolve(asked)) is passes


def test_a_backend_is_no_way_around() -> None:
    """A name that `[models]` gives to something else is not allowed for what the provider calls so."""
    lists = AllowLists(MODELS)
    assert lists.allow(caller("openai/gpt-4o"), MODELS.resolve("openai/gpt-4o"))
    assert not lists.allow(caller("openai/gpt-4o"), MODELS.resolve("gpt-4o", backend="openai"))


def test_without_a_list_everything_is_allowed() -> None:
    """None is no restriction, neither of the key nor of the token."""
    assert AllowLists(MODELS).allow(caller(), MODELS.resolve("o3"))


def test_a_token_allows_what_both_allow() -> None:
    """A token narrows its key's list and never widens it."""
    lists = AllowLists(MODELS)
    both = caller("fast", "o3", token=("o3", "simulated"))
    assert [name for name in ("fast", "o3", "simulated") if lists.allow(both, MODELS.resolve(name))] == ["o3"]
    assert not lists.allow(caller(token=("o3",)), MODELS.resolve("fast"))


def test_a_model_that_is_gone_allows_nothing() -> None:
    """A list that names only what settings no longer know lets nothing through, and does not fail."""
    with pytest.raises(RequestError) as caught:
        AllowLists(MODELS).check(caller("foo", "claude-x"), MODELS.resolve("fast"))
    assert (caught.value.status, caught.value.code, caught.value.field) == (403, "model_not_allowed", "model")
