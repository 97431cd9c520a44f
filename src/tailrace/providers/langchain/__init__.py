"""Any LangChain Runnable."""

from tailrace.providers.langchain.provider import LangChainProvider

__all__ = ["LangChainProvider"]
