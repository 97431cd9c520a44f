"""OpenAI's chat completions, and its list of models."""

from tailrace.dialects.openai_chat.dialect import OPENAI_CHAT, OPENAI_CHAT_USAGE
from tailrace.dialects.openai_chat.models import list_models

__all__ = ["OPENAI_CHAT", "OPENAI_CHAT_USAGE", "list_models"]
