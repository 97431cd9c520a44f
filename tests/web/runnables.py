"""What tests name as the target of a LangChain provider."""

from __future__ import annotations

from langchain_core.language_models import FakeListChatModel

parrot = FakeListChatModel(responses=["Polly wants"])
