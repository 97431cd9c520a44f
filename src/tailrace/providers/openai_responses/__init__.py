"""Any upstream that speaks OpenAI's Responses API."""

from tailrace.providers.openai_responses.provider import OpenAIResponsesProvider

__all__ = ["OpenAIResponsesProvider"]
