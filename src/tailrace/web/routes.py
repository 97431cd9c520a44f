"""tailrace's own API: every surface that clients speak to, on one router."""

from __future__ import annotations

from typing import Protocol

from tailrace.dialects import AI_SDK
from tailrace.generation import Generations
from tailrace.ledger import Ledger
from tailrace.web.answers import Answers, Desk
from tailrace.web.auth import Gate
from tailrace.web.catalogue import Catalogue, Stock
from tailrace.web.chats import Chats
from tailrace.web.endpoints import Endpoints
from tailrace.web.responses import Responses
from tailrace.web.sessions import Sessions
from tailrace.web.streams import Streams
from tailrace.web.surfaces.ai_sdk import add_ai_sdk
from tailrace.web.surfaces.anthropic import add_anthropic
from tailrace.web.surfaces.ollama import add_ollama
from tailrace.web.surfaces.openai import add_openai
from tailrace.web.surfaces.own import add_chat, add_sessions, add_streams
from tailrace.web.surfaces.responses import add_responses


class Host(Desk, Stock, Protocol):
    """What the routes need of the application; `Tailrace` is it."""

    gate: Gate
    generations: Generations
    ledger: Ledger


class Routes(Endpoints):
    """The routes that generate, and those around streams and conversations."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.gate, tag="tailrace")
        streams = Streams(host.generations, host.ledger, host.settings.stream)
        answers = Answers(host, streams)
        add_chat(self, answers)
        catalogue = Catalogue(host)
        add_openai(self, answers, catalogue)
        add_anthropic(self, answers, host)
        add_ollama(self, answers, catalogue, host)
        add_ai_sdk(self, answers, Chats(host.generations, streams, AI_SDK))
        add_responses(self, Responses(host, answers, streams))
        add_streams(self, streams)
        add_sessions(self, Sessions(host.ledger))
