"""What tokens cost: whole pico-USD, by the settings first, by the vendors' lists else, and never by a guess."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings.loading import loaded

from tailrace.ledger import Price, cost_of
from tailrace.prices import Prices, vendors
from tailrace.settings import ModelSettings, ProviderSettings, Settings
from tailrace.settings import Price as SetPrice

FREE: Final = Price(input=0, cached_input=0, output=0)
MINI: Final = Price(input=150_000, cached_input=75_000, output=600_000)


def settings_with(**entries: ModelSettings) -> Settings:
    """Settings with these entries of `[models]`, and two more servers that speak OpenAI's format."""
    mirror = ProviderSettings(kind="openai", base_url="https://api.openai.com/v1")
    own = ProviderSettings(kind="openai", base_url="http://127.0.0.1:8001/v1")
    return Settings(models=entries, providers={"mirror": mirror, "vllm": own})


def entry(provider: str, model: str | None = None, price: SetPrice | None = None) -> ModelSettings:
    """An entry of `[models]`."""
    return ModelSettings(provider=provider, model=model, price=price)


def test_a_listed_model() -> None:
    """A price of 0.15 USD for a million tokens is 150,000 pico-USD for one."""
    assert Prices(Settings()).find("openai/gpt-4o-mini", "openai", "gpt-4o-mini") == MINI


@pytest.mark.parametrize(
    ("provider", "model", "same"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku"),
    ],
)
def test_a_dated_name_costs_what_the_name_costs(provider: str, model: str, same: str) -> None:
    """A name with a date behind it is found under the name."""
    prices = Prices(Settings())
    assert prices.find(model, provider, model) == prices.find(same, provider, same) is not None


def test_the_exact_name_goes_first() -> None:
    """A dated name that is listed itself has its own price."""
    assert Prices(Settings()).find("x", "openai", "gpt-4o-2024-05-13") == Price(
        input=5_000_000, cached_input=5_000_000, output=15_000_000
    )


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini-tts", "ft:gpt-4o-mini:acme", "gpt-4o-mini-", "GPT-4o-mini", "", "-latest"]
)
def test_no_guess(model: str) -> None:
    """A model that is not listed has no price, however much its name is like another's."""
    assert Prices(Settings()).find(model, "openai", model) is None


def test_long_requests_may_cost_more() -> None:
    """Where a vendor takes more for a long request, its length decides, and the bound itself is not long."""
    prices = Prices(Settings())
    short = Price(input=100_000, cached_input=10_000, output=500_000)
    long = Price(input=500_000, cached_input=50_000, output=2_500_000)
    assert prices.find("x", "anthropic", "claude-haiku-5-5", input_tokens=100_000) == short
    assert prices.find("x", "anthropic", "claude-haiku-5-5", input_tokens=100_001) == long


@pytest.mark.parametrize(("provider", "model"), [("simulated", "simulated/n200"), ("ollama", "llama3.2")])
def test_what_runs_at_home_is_free(provider: str, model: str) -> None:
    """The simulated model and Ollama's cost nothing."""
    assert Prices(Settings()).find(model, provider, model) == FREE


def test_the_vendor_is_known_by_its_host() -> None:
    """Another provider at a vendor's host pays the vendor's prices; a server of one's own does not."""
    prices = Prices(settings_with())
    assert prices.find("mirror/gpt-4o-mini", "mirror", "gpt-4o-mini") == MINI
    assert prices.find("vllm/gpt-4o-mini", "vllm", "gpt-4o-mini") is None


def test_a_gateway_before_the_vendor() -> None:
    """The provider `openai` pays OpenAI's prices behind a base URL of one's own too."""
    gateway = ProviderSettings(kind="openai", base_url="https://gateway.example/v1")
    assert Prices(Settings(providers={"openai": gateway})).find("x", "openai", "gpt-4o-mini") == MINI


def test_settings_go_first() -> None:
    """A price in `[models]` wins over the list, and over what would be free."""
    prices = Prices(
        settings_with(
            fast=entry("openai", "gpt-4o-mini", SetPrice(input=1, cached_input=0.5, output=2)),
            home=entry("ollama", "llama3.2", SetPrice(input=0.01, output=0.02)),
        )
    )
    assert prices.find("fast", "openai", "gpt-4o-mini") == Price(input=10**6, cached_input=500_000, output=2 * 10**6)
    assert prices.find("home", "ollama", "llama3.2") == Price(input=10_000, cached_input=10_000, output=20_000)


def test_an_entry_prices_its_model_under_any_name() -> None:
    """Who asks for the provider's own name pays what `[models]` says of it."""
    prices = Prices(settings_with(fast=entry("vllm", "llama", SetPrice(input=1, output=2))))
    assert prices.find("vllm/llama", "vllm", "llama") == Price(input=10**6, cached_input=10**6, output=2 * 10**6)


def test_the_entry_asked_for_goes_before_the_others() -> None:
    """Of two entries for one model the one that was asked for gives the price."""
    prices = Prices(
        settings_with(
            cheap=entry("vllm", "llama", SetPrice(input=1, output=1)),
            dear=entry("vllm", "llama", SetPrice(input=9, output=9)),
        )
    )
    assert prices.find("dear", "vllm", "llama") == Price(input=9 * 10**6, cached_input=9 * 10**6, output=9 * 10**6)


def test_a_fallback_has_its_own_price() -> None:
    """What answers in an entry's place is not priced as the entry."""
    prices = Prices(settings_with(fast=entry("vllm", "llama", SetPrice(input=1, output=2))))
    assert prices.find("fast", "openai", "gpt-4o-mini") == MINI
    assert prices.find("fast", "vllm", "qwen") is None


def test_an_entry_without_a_price_leaves_the_list_in_force() -> None:
    """A name of one's own for a listed model changes nothing about its price."""
    assert Prices(settings_with(fast=entry("openai", "gpt-4o-mini"))).find("fast", "openai", "gpt-4o-mini") == MINI


def test_an_iterator_is_priced_by_its_name() -> None:
    """An application's own iterator has the price of the entry that it is named for, and else none."""
    prices = Prices(settings_with(summary=entry("openai", "gpt-4o", SetPrice(input=1, output=1)), plain=entry("vllm")))
    assert prices.find("summary", "iterator", "summary") == Price(input=10**6, cached_input=10**6, output=10**6)
    assert prices.find("plain", "iterator", "plain") is None
    assert prices.find("iterator", "iterator", "iterator") is None


def test_prices_are_read_from_the_file(tmp_path: Path) -> None:
    """A price in tailrace.toml, as it is documented, is in force; 0.0125 USD a million is exact."""
    settings = loaded(
        tmp_path,
        '[models."gpt-4o"]\nprovider = "openai"\nprice = {input = 0.0125, cached_input = 0.001, output = 3}\n',
    )
    assert Prices(settings).find("gpt-4o", "openai", "gpt-4o") == Price(
        input=12_500, cached_input=1_000, output=3_000_000
    )


@given(millionths=st.integers(0, 10**12))
def test_what_was_written_is_what_is_paid(millionths: int) -> None:
    """Any price of up to six decimals becomes exactly its pico-USD, though settings hold it as a float."""
    usd = float(f"{millionths // 10**6}.{millionths % 10**6:06d}")
    found = Prices(settings_with(m=entry("vllm", "m", SetPrice(input=usd, output=0)))).find("m", "vllm", "m")
    assert found is not None
    assert found.input == millionths


@given(
    price=st.builds(
        Price, input=st.integers(0, 10**9), cached_input=st.integers(0, 10**9), output=st.integers(0, 10**9)
    ),
    fresh=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    output=st.integers(0, 10**7),
)
def test_a_cost_is_exact(price: Price, fresh: int, cached: int, output: int) -> None:
    """A cost is each kind of token times its price; cached tokens are part of the input, and not paid twice."""
    expected = fresh * price.input + cached * price.cached_input + output * price.output
    assert cost_of(price, fresh + cached, cached, output) == expected


def test_no_cost_is_negative() -> None:
    """An upstream that reports more cached tokens than there is input makes nobody richer."""
    assert cost_of(Price(input=10, cached_input=1, output=100), 5, 8, 1) == 5 + 100


def test_the_lists_are_sound() -> None:
    """Each listed price has a source and a date that is past, and a cached token never costs more than a fresh one."""
    for vendor in vendors().values():
        assert vendor.source.startswith("https://")
        assert vendor.hosts
        for name, model in vendor.models.items():
            assert date(2025, 1, 1) <= model.checked <= date.today(), name
            assert 0 < model.input <= model.output, name
            assert model.cached_input is None or 0 < model.cached_input <= model.input, name
            assert model.long is None or (model.long.input > model.input and model.long.output > model.output), name


def test_every_listed_price_is_whole() -> None:
    """No listed price is finer than a pico-USD a token."""
    for vendor in vendors().values():
        for model in vendor.models.values():
            for rates in (model, *((model.long,) if model.long else ())):
                for usd in (rates.input, rates.output, rates.cached_input or 0):
                    assert usd * 10**6 == int(usd * 10**6)


def test_the_default_models_have_prices() -> None:
    """A key with a budget can use what tailrace asks by itself."""
    prices = Prices(Settings())
    for name in ("openai", "anthropic", "ollama", "simulated"):
        model = Settings().providers[name].default_model
        assert model is not None
        assert prices.find(name, name, model) is not None
