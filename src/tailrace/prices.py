"""What tokens cost: by `[models]` in the settings, else by the vendors' lists in `prices.toml`, which have a date.

All in whole pico-USD. Where nobody named a price there is none: a cost that is not known is never taken for zero.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from importlib import resources
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from tailrace.ledger.base import Pico, Price
from tailrace.settings import ModelSettings, ProviderSettings, Settings

Usd: TypeAlias = float | Decimal

ITERATOR: Final = "iterator"
"""The provider of answers that an application brings itself."""

_PICO_PER_MICRO: Final = 10**6
"""USD for a million tokens are micro-USD for one."""

_FREE: Final = Price(input=0, cached_input=0, output=0)
_FREE_KINDS: Final = frozenset({"simulated", "ollama"})
_DATE: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$", re.ASCII)


class _Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


class _LongRates(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    above: int


class ListedModel(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model in a vendor's list. `long` holds for the whole of a request with more input tokens than `above`."""

    checked: date
    long: _LongRates | None = None


class Vendor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vendor's list: the hosts of its own, where its prices stand, its models."""

    hosts: tuple[str, ...]
    source: str
    models: dict[str, ListedModel]


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's tokens cost: `long` holds for the whole of a request with more input tokens than `above`.

    None is not known.
    """

    usual: Price | None = None
    long: Price | None = None
    above: int = 0

    def price(self, input_tokens: int) -> Price | None:
        """The price in a request of so many input tokens."""
        return self.long if self.long is not None and input_tokens > self.above else self.usual


class Prices:
    """The prices that hold under these settings."""

    def __init__(self, settings: Settings) -> None:
        self._entries = settings.models
        self._providers = settings.providers
        self._vendors = vendors()

    def find(self, public_name: str, provider: str, model: str, *, input_tokens: int = 0) -> Price | None:
        """What `provider` takes for `model` in a request of so many input tokens; None where it is not known."""
        return self.tariff(public_name, provider, model).price(input_tokens)

    def tariff(self, public_name: str, provider: str, model: str) -> Tariff:
        """What `provider` takes for `model`.

        `public_name` is what the client asked for. The price of its entry in `[models]` holds only if that entry is
        what answered: a fallback has its own. An application's own iterator, which is in no settings, is priced by the
        name alone.
        """
        entry = self._entry(public_name, provider, model)
        if entry is not None and entry.price is not None:
            price = entry.price
            return Tariff(usual=_price(price.input, price.cached_input, price.output))
        settings = self._providers.get(provider)
        if settings is not None and settings.kind in _FREE_KINDS:
            return Tariff(usual=_FREE)
        return self._listed(provider, settings, model)

    def _entry(self, public_name: str, provider: str, model: str) -> ModelSettings | None:
        """The entry with a price that speaks of this model: the one asked for, else the first."""
        own = self._entries.get(public_name)
        named = {} if own is None else {public_name: own}
        for name, entry in (named | self._entries).items():
            if entry.price is not None and (entry.provider, entry.model or name) == (provider, model):
                return entry
        return own if provider == ITERATOR else None

    def _listed(self, provider: str, settings: ProviderSettings | None, model: str) -> Tariff:
        vendor = self._vendor(provider, settings)
        listed = None if vendor is None else vendor.models.get(model) or vendor.models.get(_DATE.sub("", model))
        if listed is None:
            return Tariff()
        usual = _price(listed.input, listed.cached_input, listed.output)
        if listed.long is None:
            return Tariff(usual=usual)
        long = _price(listed.long.input, listed.long.cached_input, listed.long.output)
        return Tariff(usual=usual, long=long, above=listed.long.above)

    def _vendor(self, provider: str, settings: ProviderSettings | None) -> Vendor | None:
        """Who is asked: by the host, and where a gateway stands before a vendor, by the provider's name."""
        host = urlsplit((settings.url if settings else None) or "").hostname
        by_host = (vendor for vendor in self._vendors.values() if host in vendor.hosts)
        return next(by_host, self._vendors.get(provider))


@cache
def vendors() -> Mapping[str, Vendor]:
    """The vendors' lists that ship with tailrace."""
    text = resources.files("tailrace").joinpath("prices.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text, parse_float=Decimal), dict[str, Vendor])


def _price(input_usd: Usd, cached_usd: Usd | None, output_usd: Usd) -> Price:
    cached = input_usd if cached_usd is None else cached_usd
    return Price(input=_pico(input_usd), cached_input=_pico(cached), output=_pico(output_usd))


def _pico(usd_per_million: Usd) -> Pico:
    """Pico-USD for one token. A float's shortest text is what was written, so nothing is lost on the way."""
    exact = Decimal(str(usd_per_million)) * _PICO_PER_MICRO
    return int(exact.to_integral_value(ROUND_HALF_EVEN))
