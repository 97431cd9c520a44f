"""The vendors and servers that speak as OpenAI does and are known by name: where they are, and whose key.

Addresses as the vendors' documents give them (2026-11); docs/providers.md names the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

PRESET_KINDS: Final = ("openai", "openai_responses")
"""What they speak: chat completions, and some of them the Responses API too, at the same address."""


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `base_url` is None where everyone has their own, `variable` where no key is needed."""

    base_url: str | None = None
    variable: str | None = None


PRESETS: Final[Mapping[str, Preset]] = {
    "gemini": Preset(base_url="https://generativelanguage.googleapis.com/v1beta/openai", variable="GEMINI_API_KEY"),
    "deepseek": Preset(base_url="https://api.deepseek.com", variable="DEEPSEEK_API_KEY"),
    "groq": Preset(base_url="https://api.groq.com/openai/v1", variable="GROQ_API_KEY"),
    "mistral": Preset(base_url="https://api.mistral.ai/v1", variable="MISTRAL_API_KEY"),
    "openrouter": Preset(base_url="https://openrouter.ai/api/v1", variable="OPENROUTER_API_KEY"),
    "xai": Preset(base_url="https://api.x.ai/v1", variable="XAI_API_KEY"),
    "lmstudio": Preset(base_url="http://127.0.0.1:1234/v1"),
    "llamacpp": Preset(base_url="http://127.0.0.1:8080/v1"),
    # vLLM's own port is ours too, and every resource of Azure has a host of its own.
    "vllm": Preset(),
    "azure": Preset(),
}
