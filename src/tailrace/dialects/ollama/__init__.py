"""Ollama's own API: chat, generate, and what its clients ask about models."""

from tailrace.dialects.ollama.body import read_show
from tailrace.dialects.ollama.dialect import OLLAMA, OLLAMA_GENERATE, Ollama
from tailrace.dialects.ollama.models import ListedModel, list_running, list_tags, show_model, tell_version

__all__ = [
    "OLLAMA",
    "OLLAMA_GENERATE",
    "ListedModel",
    "Ollama",
    "list_running",
    "list_tags",
    "read_show",
    "show_model",
    "tell_version",
]
