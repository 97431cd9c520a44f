"""Which provider answers for the name of a model."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tailrace.errors import RequestError
from tailrace.settings.presets import PRESETS
from tailrace.settings.tables import ModelSettings, Settings

SIMULATED: Final = "simulated"

_MOST_KNOWN: Final = 1024

_PREFIXES: Final = ((re.compile(r"gpt-|chatgpt-|o\d+(-|$)"), "openai"), (re.compile(r"claude-"), "anthropic"))
_VARIABLES: Final = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


class ResolvedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers: `name` is the public name, `model` the one that `provider` knows it by.

    `fallbacks` are to be asked in this order; those whose provider is off are left out, and none has its own.
    """

    name: str
    provider: str
    model: str
    fallbacks: tuple[ResolvedModel, ...] = ()


class Models:
    """The names of models that `settings` give a meaning to.

    `extra` are providers made in Python: name to default model, or None where there is none.
    """

    def __init__(self, settings: Settings, extra: Mapping[str, str | None] | None = None) -> None:
        self._entries = settings.models
        self._providers = settings.providers
        self._extra = dict(extra or {})
        self.default = settings.default_model or self._first_default()
        self._resolved = functools.lru_cache(maxsize=_MOST_KNOWN)(self._resolve)

    def resolve(self, name: str | None = None, *, backend: str | None = None) -> ResolvedModel:
        """Find who answers for `name`, else for the default of `backend`, else for the default of all.

        With `backend`, `name` is that provider's own name of the model. Raises RequestError: 404 `model_not_found`,
        400 `unknown_backend`, 503 `provider_off`.
        """
        return self._resolved(name, backend)

    def _resolve(self, name: str | None, backend: str | None) -> ResolvedModel:
        if backend is not None:
            return self._on(self._of_backend(backend, name))
        asked = self.default if name is None else name
        entry = self._entries.get(asked)
        if entry is None:
            return self._on(self._find(asked))
        return self._on(self._of_entry(asked, entry, fallbacks=self._fallbacks(entry)))

    def known(self) -> list[str]:
        """What there is: the entries of `[models]`, then `provider/…` for each provider that is available."""
        return [*self._entries, *(name if name == SIMULATED else f"{name}/…" for name in self._available())]

    def _find(self, name: str) -> ResolvedModel:
        provider, slash, model = name.partition("/")
        if self._is_known(provider):
            if slash and model:
                return ResolvedModel(name=name, provider=provider, model=model)
            if not slash and self._answers_to_its_name(provider):
                return self._default_of(provider)
        if slash and provider in PRESETS:
            raise RequestError(503, "provider_off", f"the provider {provider} is off: set {_switch_of(provider)}")
        for pattern, vendor in _PREFIXES:
            if not slash and pattern.match(name):
                return ResolvedModel(name=name, provider=vendor, model=name)
        raise RequestError(
            404, "model_not_found", f"there is no model {name!r}; there is {', '.join(self.known())}", field="model"
        )

    def _of_entry(self, name: str, entry: ModelSettings, fallbacks: tuple[ResolvedModel, ...] = ()) -> ResolvedModel:
        return ResolvedModel(name=name, provider=entry.provider, model=entry.model or name, fallbacks=fallbacks)

    def _of_backend(self, backend: str, name: str | None) -> ResolvedModel:
        if not self._is_known(backend):
            there = ", ".join(self._available())
            raise RequestError(
                400, "unknown_backend", f"there is no backend {backend!r}; there is {there}", field="backend"
            )
        model = (name or "").removeprefix(f"{backend}/")
        if not model or model == backend:
            return self._default_of(backend)
        return ResolvedModel(name=f"{backend}/{model}", provider=backend, model=model)

    def _fallbacks(self, entry: ModelSettings) -> tuple[ResolvedModel, ...]:
        found = [
            self._of_entry(name, self._entries[name]) if name in self._entries else self._find(name)
            for name in entry.fallback
        ]
        available = self._available()
        return tuple(model for model in found if model.provider in available)

    def _default_of(self, provider: str) -> ResolvedModel:
        model = self._default_model(provider)
        if model is None:
            raise RequestError(
                400, "model_required", f"the provider {provider} has no default_model: name a model", field="model"
            )
        name = provider if model == provider else f"{provider}/{model}"
        return ResolvedModel(name=name, provider=provider, model=model)

    def _default_model(self, provider: str) -> str | None:
        if provider in self._extra:
            return self._extra[provider]
        settings = self._providers[provider]
        if settings.default_model is None:
            return provider if self._answers_to_its_name(provider) else None
        return settings.default_model.removeprefix(f"{provider}/")

    def _first_default(self) -> str:
        on = (name for name, provider in self._providers.items() if provider.on and provider.kind != SIMULATED)
        for name in on:
            if self._default_model(name) is not None:
                return self._default_of(name).name
        return SIMULATED

    def _answers_to_its_name(self, provider: str) -> bool:
        """Whether the provider's name alone is a model: where it has but one, or where there is nothing to choose."""
        if provider in self._extra:
            return self._extra[provider] is not None
        return self._providers[provider].kind in (SIMULATED, "langchain")

    def _is_known(self, provider: str) -> bool:
        return provider in self._providers or provider in self._extra

    def _available(self) -> list[str]:
        own = [name for name, provider in self._providers.items() if provider.available and name not in self._extra]
        return [*own, *self._extra]

    def _on(self, found: ResolvedModel) -> ResolvedModel:
        if found.provider in self._extra or self._providers[found.provider].available:
            return found
        raise RequestError(
            503, "provider_off", f"the provider {found.provider} is off: set {self._switch(found.provider)}"
        )

    def _switch(self, provider: str) -> str:
        return _switch_of(provider, key="target" if self._providers[provider].kind == "langchain" else "api_key")


def _switch_of(provider: str, *, key: str = "api_key") -> str:
    """What switches a provider on."""
    preset = PRESETS.get(provider)
    if preset is not None:
        return preset.variable or f"base_url in [providers.{provider}]"
    return _VARIABLES.get(provider, f"{key} in [providers.{provider}]")
