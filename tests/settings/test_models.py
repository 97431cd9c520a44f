"""Who answers for the name of a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.settings.loading import loaded

from tailrace.errors import RequestError
from tailrace.settings import (
    Models,
    ModelSettings,
    ProviderSettings,
    Secret,
    Settings,
)


@pytest.mark.parametrize(
    ("environ", "toml", "expected"),
    [
        ({}, "", "simulated"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "", "openai/gpt-4o-mini"),
        ({"ANTHROPIC_API_KEY": "k", "OLLAMA_HOST": "h"}, "", "anthropic/claude-haiku-4-5-20251001"),
        ({"OLLAMA_HOST": "h"}, "", "ollama/llama3.2"),
        ({"OPENAI_API_KEY": "k"}, "[providers.openai]\ndefault_model = 'gpt-x'", "openai/gpt-x"),
        ({"OPENAI_API_KEY": "k"}, "[providers.openai]\ndefault_model = 'openai/gpt-x'", "openai/gpt-x"),
        ({}, "[providers.own]\nkind = 'openai'\nbase_url = 'http://h/v1'", "simulated"),
        ({}, "[providers.own]\nkind = 'openai'\nbase_url = 'http://h/v1'\ndefault_model = 'm'", "own/m"),
        ({}, "[providers.langchain]\ntarget = 'a:b'", "langchain"),
        ({"TAILRACE_DEFAULT_MODEL": "simulated/n5", "OPENAI_API_KEY": "k"}, "", "simulated/n5"),
    ],
)
def test_the_default_model(folder: Path, environ: dict[str, str], toml: str, expected: str) -> None:
    """The default is what was said, else that of the first provider that is on, else the simulated one."""
    models = Models(loaded(folder, toml, environ))
    assert models.default == expected
    assert models.resolve() == models.resolve(expected)


ALL = Settings(
    providers={
        "openai": ProviderSettings(kind="openai", api_key=Secret("k"), default_model="gpt-4o-mini"),
        "router": ProviderSettings(kind="openai", base_url="http://h/v1"),
    },
    models={
        "fast": ModelSettings(
            provider="router", model="meta/llama", fallback=("slow", "gpt-4o", "claude-x", "simulated/n5")
        ),
        "slow": ModelSettings(provider="ollama", fallback=("fast",)),
        "gpt-4o": ModelSettings(provider="openai", model="gpt-4o-2024-08-06"),
    },
)


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("fast", "router", "meta/llama"),
        ("slow", "ollama", "slow"),
        ("gpt-4o", "openai", "gpt-4o-2024-08-06"),
        ("gpt-4.1", "openai", "gpt-4.1"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("o1", "openai", "o1"),
        ("o3-mini", "openai", "o3-mini"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("openai/nonsense", "openai", "nonsense"),
        ("router/openai/gpt-4o", "router", "openai/gpt-4o"),
        ("ollama/llama3.2:1b", "ollama", "llama3.2:1b"),
        ("simulated", "simulated", "simulated"),
        ("simulated/n200-d5", "simulated", "n200-d5"),
    ],
)
def test_names_of_models(name: str, provider: str, model: str) -> None:
    """An entry of `[models]` first, then `provider/model` split at the first slash, then a vendor's prefix."""
    found = Models(ALL).resolve(name)
    assert (found.name, found.provider, found.model) == (name, provider, model)


def test_fallbacks_are_in_order_and_their_providers_on() -> None:
    """Fallbacks keep their order, those that are off are left out, and none brings its own."""
    fallbacks = Models(ALL).resolve("fast").fallbacks
    assert [(model.name, model.provider, model.model) for model in fallbacks] == [
        ("slow", "ollama", "slow"),
        ("gpt-4o", "openai", "gpt-4o-2024-08-06"),
        ("simulated/n5", "simulated", "n5"),
    ]
    assert all(model.fallbacks == () for model in fallbacks)


@pytest.mark.parametrize("name", ["nonsense", "", "nowhere/m", "openai/", "/m", "openai", "o", "oh-no", "ollama"])
def test_an_unknown_model_is_404_with_what_there_is(name: str) -> None:
    """An unknown name gets the list of those that would do."""
    with pytest.raises(
        RequestError, match=r"there is fast, slow, gpt-4o, openai/…, ollama/…, simulated, router/…$"
    ) as got:
        Models(ALL).resolve(name)
    assert (got.value.status, got.value.code, got.value.field) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("name", "backend", "switch"),
    [
        ("claude-x", None, "ANTHROPIC_API_KEY"),
        ("anthropic/claude-x", None, "ANTHROPIC_API_KEY"),
        (None, "anthropic", "ANTHROPIC_API_KEY"),
        (None, "langchain", "target in [providers.langchain]"),
    ],
)
def test_a_provider_that_is_off_is_503_naming_its_switch(name: str | None, backend: str | None, switch: str) -> None:
    """A provider that is off says how to switch it on."""
    with pytest.raises(RequestError) as got:
        Models(ALL).resolve(name, backend=backend)
    assert (got.value.status, got.value.code) == (503, "provider_off")
    assert got.value.message.endswith(f"is off: set {switch}")


@pytest.mark.parametrize(
    ("name", "backend", "expected"),
    [
        (None, "openai", "openai/gpt-4o-mini"),
        ("", "openai", "openai/gpt-4o-mini"),
        ("gpt-4o", "openai", "openai/gpt-4o"),
        ("openai/gpt-4o", "openai", "openai/gpt-4o"),
        ("openai/gpt-4o", "router", "router/openai/gpt-4o"),
        ("fast", "ollama", "ollama/fast"),
        (None, "simulated", "simulated"),
        ("simulated", "simulated", "simulated"),
        ("n5", "simulated", "simulated/n5"),
        ("simulated/n5", "simulated", "simulated/n5"),
    ],
)
def test_a_backend(name: str | None, backend: str, expected: str) -> None:
    """A backend without a model takes its default; with one, that is its own name for it."""
    assert Models(ALL).resolve(name, backend=backend).name == expected


def test_a_backend_that_cannot_answer_is_400() -> None:
    """An unknown backend is told those there are; one without a default asks for a model."""
    models = Models(ALL)
    with pytest.raises(RequestError, match=r"no backend 'x'; there is openai, ollama, simulated, router$") as unknown:
        models.resolve(backend="x")
    with pytest.raises(RequestError, match="router has no default_model: name a model") as nameless:
        models.resolve(backend="router")
    assert (unknown.value.status, unknown.value.code, unknown.value.field) == (400, "unknown_backend", "backend")
    assert (nameless.value.status, nameless.value.code, nameless.value.field) == (400, "model_required", "model")


def test_providers_made_in_python_are_known() -> None:
    """Names that the library's user gave to providers resolve like any other."""
    models = Models(Settings(), extra={"mine": "m", "bare": None})
    assert (models.resolve("mine").model, models.resolve("bare/x").model) == ("m", "x")
    assert models.resolve(backend="mine").name == "mine/m"
    assert models.known() == ["ollama/…", "simulated", "mine/…", "bare/…"]
