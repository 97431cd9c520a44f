"""tailrace's own API routes: which path is answered by what, and that each is documented."""

from __future__ import annotations

from typing import Protocol

from tailrace.dialects import DELTA, META, OPENAI_CHAT, RAW, TOKEN
from tailrace.generation import Generations
from tailrace.ledger import Ledger
from tailrace.web import openapi
from tailrace.web.answers import Answers, Desk
from tailrace.web.auth import Gate
from tailrace.web.catalogue import Catalogue, Stock
from tailrace.web.endpoints import Endpoints
from tailrace.web.sessions import Sessions
from tailrace.web.streams import Streams


class Host(Desk, Stock, Protocol):
    """What the routes need of the application; `Tailrace` is it."""

    gate: Gate
    generations: Generations
    ledger: Ledger


class Routes(Endpoints):
    """The routes that generate, and those around streams and conversations."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.gate, tag="tailrace")
        streams = Streams(host.generations, host.settings.stream)
        answers = Answers(host, streams)
        self._add_chat(answers)
        self._add_openai(answers, Catalogue(host))
        self._add_streams(streams)
        self._add_sessions(Sessions(host.ledger))

    def _add_chat(self, answers: Answers) -> None:
        for prefix in ("/v1", "/api/v1", "/api"):
            self.add(
                "POST", f"{prefix}/chat/stream", answers.posting(DELTA), openapi.posting("Stream an answer", "delta")
            )
            listening = openapi.listening("The same, for EventSource", "delta")
            self.add("GET", f"{prefix}/chat", answers.listening(DELTA), listening)
        chat = openapi.posting("Answer in one JSON, or streaming where `stream` is true", "delta", whole=True)
        self.add("POST", "/v1/chat", answers.posting(DELTA, streams=False), chat)
        tokens = openapi.posting("Stream an answer; of a bare array of messages as raw", "token", "raw", array=True)
        self.add("POST", "/chat/stream", answers.posting(TOKEN, array=RAW), tokens)
        raw = openapi.listening("Stream an answer's bare text", "raw")
        self.add("GET", "/chat/stream", answers.listening(RAW), raw)
        meta = openapi.posting("Stream an answer and its times", "meta")
        self.add("POST", "/chat/stream-meta", answers.posting(META), meta)
        for backend in ("anthropic", "langchain"):
            backed = openapi.posting(f"Stream an answer of the {backend} provider", "token")
            self.add("POST", f"/{backend}/stream", answers.posting(TOKEN, backend=backend), backed)

    def _add_streams(self, streams: Streams) -> None:
        self.add("GET", "/v1/streams", streams.list, openapi.listing_streams())
        self.add("GET", "/v1/streams/{stream_id}", streams.read, openapi.reading_stream())
        self.add("POST", "/v1/streams/{stream_id}/cancel", streams.cancel, openapi.cancelling_stream())

    def _add_sessions(self, sessions: Sessions) -> None:
        self.add("GET", "/v1/sessions", sessions.list, openapi.listing_sessions())
        self.add("GET", "/v1/sessions/{session_id}", sessions.read, openapi.reading_session())
        self.add("DELETE", "/v1/sessions/{session_id}", sessions.delete, openapi.deleting_session())

    def _add_openai(self, answers: Answers, catalogue: Catalogue) -> None:
        completions = openapi.completing("An answer as OpenAI's chat completions give it")
        handler = answers.posting(OPENAI_CHAT, streams=False)
        self.add("POST", "/v1/chat/completions", handler, completions, dialect=OPENAI_CHAT)
        self.add("GET", "/v1/models", catalogue.show, openapi.listing_models(), dialect=OPENAI_CHAT)
