"""What the system tests name as the target of a LangChain provider."""

from __future__ import annotations

from typing import Final

from langchain_core.language_models import FakeListChatModel

LETTERS: Final = "abcdefghijklmnopqrst"
PACE_S: Final = 0.03

parrot = FakeListChatModel(responses=[LETTERS], sleep=PACE_S)
"""Says one letter after another, so many seconds apart."""
