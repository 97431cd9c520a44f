"""The AI SDK's UI message stream, version 1: what `useChat` sends and reads."""

from tailrace.dialects.ai_sdk.encoder import AI_SDK, AI_SDK_CONTINUED

__all__ = ["AI_SDK", "AI_SDK_CONTINUED"]
