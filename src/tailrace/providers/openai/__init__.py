"""Any upstream that speaks OpenAI's chat completions."""

from tailrace.providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
