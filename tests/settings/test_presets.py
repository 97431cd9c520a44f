"""Vendors and servers that are known by name: their address and the variable of their key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from tests.settings.loading import loaded, refusal

from tailrace.errors import RequestError
from tailrace.settings import Models, ProviderSettings, Settings
from tailrace.settings.presets import PRESETS

DOCUMENT: Final = Path(__file__).parents[2] / "docs/providers.md"
KEYED: Final = sorted(name for name, preset in PRESETS.items() if preset.variable)
LOCAL: Final = sorted(name for name, preset in PRESETS.items() if preset.base_url and not preset.variable)


@pytest.mark.parametrize("name", KEYED)
def test_a_key_switches_a_vendor_on(folder: Path, name: str) -> None:
    """Its variable is enough, and so is a table with a key; the address is the vendor's own."""
    preset = PRESETS[name]
    by_variable = loaded(folder, "", {preset.variable or "": "k"}).providers[name]
    by_table = loaded(folder, f"[providers.{name}]\napi_key = 'k'").providers[name]
    assert by_variable == by_table
    assert (by_table.kind, by_table.url, by_table.on) == ("openai", preset.base_url, True)
    assert by_table.api_key is not None
    assert by_table.api_key.reveal() == "k"


@pytest.mark.parametrize("name", KEYED)
def test_without_a_key_a_vendor_is_off(folder: Path, name: str) -> None:
    """A model of one that is off is refused with the name of the variable, whether it has a table or none."""
    for toml in ("", f"[providers.{name}]\ndefault_model = 'm'"):
        settings = loaded(folder, toml)
        with pytest.raises(RequestError, match=f"{name} is off: set {PRESETS[name].variable}") as caught:
            Models(settings).resolve(f"{name}/m")
        assert caught.value.status == 503
        assert Models(settings).default == "simulated"


@pytest.mark.parametrize("name", LOCAL)
def test_a_server_on_this_machine_needs_a_table_alone(folder: Path, name: str) -> None:
    """It has a port that it is known by, and no key."""
    provider = loaded(folder, f"[providers.{name}]").providers[name]
    assert (provider.kind, provider.url, provider.on) == ("openai", PRESETS[name].base_url, True)
    with pytest.raises(RequestError, match=rf"set base_url in \[providers\.{name}\]"):
        Models(loaded(folder)).resolve(f"{name}/m")


@pytest.mark.parametrize("name", ["vllm", "azure"])
def test_where_everyone_has_an_own_address(folder: Path, name: str) -> None:
    """It must be given; without it the key would go to OpenAI."""
    assert refusal(folder, f"[providers.{name}]\napi_key = 'k'").startswith(
        f"tailrace.toml: [providers.{name}] base_url: everyone has an own address there"
    )
    provider = loaded(folder, f"[providers.{name}]\nbase_url = 'http://h/v1'").providers[name]
    assert (provider.kind, provider.url, provider.on) == ("openai", "http://h/v1", True)


def test_another_name_or_address(folder: Path) -> None:
    """A preset may go by any name, and any of its settings may be another."""
    settings = loaded(
        folder,
        "[providers.work]\npreset = 'groq'\napi_key = 'k'\n"
        "[providers.groq]\nbase_url = 'http://proxy/v1'\ndefault_model = 'm'\n",
    )
    assert settings.providers["work"].url == "https://api.groq.com/openai/v1"
    assert (settings.providers["groq"].url, settings.providers["groq"].on) == ("http://proxy/v1", True)
    assert Models(settings).resolve(backend="groq").model == "m"
    assert Models(settings).resolve("work/x").provider == "work"
    made = Settings(providers={"work": ProviderSettings(kind="openai", preset="groq")})
    assert (made.providers["work"].url, made.providers["work"].on) == ("https://api.groq.com/openai/v1", False)


def test_the_other_api_of_the_same_vendor(folder: Path) -> None:
    """A vendor that has OpenAI's Responses API too has it at the same address, with the same key."""
    provider = loaded(folder, "[providers.xai]\nkind = 'openai_responses'", {"XAI_API_KEY": "k"}).providers["xai"]
    assert (provider.kind, provider.url, provider.on) == ("openai_responses", PRESETS["xai"].base_url, True)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[providers.mistral]\nkind = 'ollama'\nbase_url = 'http://h'", "[providers.mistral] kind: mistral is a known"),
        ("[providers.x]\nkind = 'ollama'\npreset = 'groq'", "[providers.x] kind: groq is a known server's name"),
        ("[providers.x]\npreset = 'grok'", "[providers.x] preset: must be one of gemini, deepseek"),
    ],
)
def test_wrong_presets(folder: Path, toml: str, told: str) -> None:
    """A known name of another kind, and an unknown preset, are refused with their place."""
    assert told in refusal(folder, toml)


def test_the_document(folder: Path) -> None:
    """docs/providers.md lists each preset with its address and variable, and its settings are settings."""
    document = DOCUMENT.read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", document, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(PRESETS)
    for name, address, key in rows:
        preset = PRESETS[name]
        assert address.startswith("your own" if preset.base_url is None else f"`{preset.base_url}`")
        assert preset.variable is None or key == f"`{preset.variable}`"
    (toml,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    (folder / "groq").write_text("k", "utf-8")
    environ = {"AZURE_OPENAI_API_KEY": "k", "GROQ_TEAM_KEY": "k"}
    settings = loaded(folder, toml.replace("file:/run/secrets/groq", f"file:{folder}/groq"), environ)
    assert all(settings.providers[name].on for name in ("groq", "lmstudio", "vllm", "azure", "groq-team"))
    assert settings.providers["groq-team"].url == PRESETS["groq"].base_url
    assert settings.providers["lmstudio"].url == PRESETS["lmstudio"].base_url
