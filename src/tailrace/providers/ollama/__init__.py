"""Ollama's chat."""

from tailrace.providers.ollama.provider import OllamaProvider

__all__ = ["OllamaProvider"]
