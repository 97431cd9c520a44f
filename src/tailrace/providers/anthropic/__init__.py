"""Anthropic's Messages."""

from tailrace.providers.anthropic.provider import AnthropicProvider

__all__ = ["AnthropicProvider"]
