"""OpenAI's routes: chat completions and the list of models."""

from __future__ import annotations

from tailrace.dialects import OPENAI_CHAT
from tailrace.web.answers import Answers
from tailrace.web.catalogue import Catalogue
from tailrace.web.endpoints import Endpoints
from tailrace.web.openapi import openai


def add_openai(endpoints: Endpoints, answers: Answers, catalogue: Catalogue) -> None:
    """What a client of OpenAI's asks for."""
    completions = openai.completing("An answer as OpenAI's chat completions give it")
    handler = answers.posting(OPENAI_CHAT, streams=False)
    endpoints.add("POST", "/v1/chat/completions", handler, completions, dialect=OPENAI_CHAT)
    endpoints.add("GET", "/v1/models", catalogue.show, openai.listing_models(), dialect=OPENAI_CHAT)
