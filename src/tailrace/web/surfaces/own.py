"""Our own formats, and what is around them: streams to come back to, conversations."""

from __future__ import annotations

from tailrace.dialects import DELTA, META, RAW, TOKEN
from tailrace.web.answers import Answers
from tailrace.web.endpoints import Endpoints
from tailrace.web.openapi import own
from tailrace.web.sessions import Sessions
from tailrace.web.streams import Streams


def add_chat(endpoints: Endpoints, answers: Answers) -> None:
    """The routes that generate, in delta, token, raw and meta."""
    for prefix in ("/v1", "/api/v1", "/api"):
        endpoints.add("POST", f"{prefix}/chat/stream", answers.posting(DELTA), own.posting("Stream an answer", "delta"))
        listening = own.listening("The same, for EventSource", "delta")
        endpoints.add("GET", f"{prefix}/chat", answers.listening(DELTA), listening)
    chat = own.posting("Answer in one JSON, or streaming where `stream` is true", "delta", whole=True)
    endpoints.add("POST", "/v1/chat", answers.posting(DELTA, streams=False), chat)
    tokens = own.posting("Stream an answer; of a bare array of messages as raw", "token", "raw", array=True)
    endpoints.add("POST", "/chat/stream", answers.posting(TOKEN, array=RAW), tokens)
    raw = own.listening("Stream an answer's bare text", "raw")
    endpoints.add("GET", "/chat/stream", answers.listening(RAW), raw)
    meta = own.posting("Stream an answer and its times", "meta")
    endpoints.add("POST", "/chat/stream-meta", answers.posting(META), meta)
    for backend in ("anthropic", "langchain"):
        backed = own.posting(f"Stream an answer of the {backend} provider", "token")
        endpoints.add("POST", f"/{backend}/stream", answers.posting(TOKEN, backend=backend), backed)


def add_streams(endpoints: Endpoints, streams: Streams) -> None:
    """Streams that are there already."""
    endpoints.add("GET", "/v1/streams", streams.list, own.listing_streams())
    endpoints.add("GET", "/v1/streams/{stream_id}", streams.read, own.reading_stream())
    endpoints.add("POST", "/v1/streams/{stream_id}/cancel", streams.cancel, own.cancelling_stream())


def add_sessions(endpoints: Endpoints, sessions: Sessions) -> None:
    """The conversations that are kept."""
    endpoints.add("GET", "/v1/sessions", sessions.list, own.listing_sessions())
    endpoints.add("GET", "/v1/sessions/{session_id}", sessions.read, own.reading_session())
    endpoints.add("DELETE", "/v1/sessions/{session_id}", sessions.delete, own.deleting_session())
