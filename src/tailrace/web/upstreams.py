"""Makes the providers that the settings name."""

from __future__ import annotations

from typing import Any

from tailrace.errors import SettingsError
from tailrace.providers import Provider
from tailrace.providers.anthropic import AnthropicProvider
from tailrace.providers.langchain import LangChainProvider
from tailrace.providers.ollama import OllamaProvider
from tailrace.providers.openai import OpenAIProvider
from tailrace.providers.openai_responses import OpenAIResponsesProvider
from tailrace.providers.simulated import SimulatedProvider
from tailrace.settings import ProviderSettings, Settings


def create_providers(settings: Settings) -> dict[str, Provider]:
    """Every provider that may be asked, by name; those that are switched off are left out."""
    return {
        name: _create(name, provider, settings) for name, provider in settings.providers.items() if provider.available
    }


def _create(name: str, provider: ProviderSettings, settings: Settings) -> Provider:
    match provider.kind:
        case "simulated":
            return SimulatedProvider(name=name, default_model=provider.default_model)
        case "langchain":
            return LangChainProvider(name=name, target=_target(name, provider), default_model=provider.default_model)
        case "openai":
            return OpenAIProvider(**_http_options(name, provider, settings))
        case "openai_responses":
            return OpenAIResponsesProvider(**_http_options(name, provider, settings))
        case "anthropic":
            return AnthropicProvider(**_http_options(name, provider, settings))
        case "ollama":
            return OllamaProvider(**_http_options(name, provider, settings))


def _target(name: str, provider: ProviderSettings) -> str:
    if provider.target is None:
        raise SettingsError("a langchain provider needs a target", where=f"[providers.{name}]")
    return provider.target


def _http_options(name: str, provider: ProviderSettings, settings: Settings) -> dict[str, Any]:
    return {
        "name": name,
        "base_url": provider.url,
        "api_key": provider.api_key and provider.api_key.reveal(),
        "default_model": provider.default_model,
        "headers": {header: value.reveal() for header, value in provider.headers.items()},
        "connect_s": settings.stream.connect_s,
        "proxy": provider.proxy and provider.proxy.reveal(),
        "ca_file": provider.ca_file and str(provider.ca_file),
    }
