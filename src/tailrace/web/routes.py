"""tailrace's own API routes: which path is answered by what, and that each is documented."""

from __future__ import annotations

import re
from typing import Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, META, RAW, TOKEN
from tailrace.dialects.body import refuse_keys
from tailrace.errors import RequestError, StoreError
from tailrace.generation import Generations
from tailrace.ledger import Ledger
from tailrace.web import openapi
from tailrace.web.answers import Answers, Desk, Handler
from tailrace.web.auth import Gate
from tailrace.web.edge import Endpoint
from tailrace.web.exchanges import refuse
from tailrace.web.openapi import Schema
from tailrace.web.sessions import Sessions, unavailable
from tailrace.web.streams import Streams


class Host(Desk, Protocol):
    """What the routes need of the application; `Tailrace` is it."""

    gate: Gate
    generations: Generations
    ledger: Ledger


class Routes:
    """Builds the router, and the table of the same endpoints by method and path.

    Every handler is told the caller; every refusal leaves as problem JSON.
    """

    def __init__(self, host: Host) -> None:
        self._gate = host.gate
        self.router = APIRouter(tags=["tailrace"])
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        streams = Streams(host.generations, host.settings.stream)
        self._add_chat(Answers(host, streams))
        self._add_streams(streams)
        self._add_sessions(Sessions(host.ledger))

    def _add_chat(self, answers: Answers) -> None:
        for prefix in ("/v1", "/api/v1", "/api"):
            self._add(
                "POST", f"{prefix}/chat/stream", answers.posting(DELTA), openapi.posting("Stream an answer", "delta")
            )
            listening = openapi.listening("The same, for EventSource", "delta")
            self._add("GET", f"{prefix}/chat", answers.listening(DELTA), listening)
        chat = openapi.posting("Answer in one JSON, or streaming where `stream` is true", "delta", whole=True)
        self._add("POST", "/v1/chat", answers.posting(DELTA, streams=False), chat)
        tokens = openapi.posting("Stream an answer; of a bare array of messages as raw", "token", "raw", array=True)
        self._add("POST", "/chat/stream", answers.posting(TOKEN, array=RAW), tokens)
        raw = openapi.listening("Stream an answer's bare text", "raw")
        self._add("GET", "/chat/stream", answers.listening(RAW), raw)
        meta = openapi.posting("Stream an answer and its times", "meta")
        self._add("POST", "/chat/stream-meta", answers.posting(META), meta)
        for backend in ("anthropic", "langchain"):
            backed = openapi.posting(f"Stream an answer of the {backend} provider", "token")
            self._add("POST", f"/{backend}/stream", answers.posting(TOKEN, backend=backend), backed)

    def _add_streams(self, streams: Streams) -> None:
        self._add("GET", "/v1/streams", streams.list, openapi.listing_streams())
        self._add("GET", "/v1/streams/{stream_id}", streams.read, openapi.reading_stream())
        self._add("POST", "/v1/streams/{stream_id}/cancel", streams.cancel, openapi.cancelling_stream())

    def _add_sessions(self, sessions: Sessions) -> None:
        self._add("GET", "/v1/sessions", sessions.list, openapi.listing_sessions())
        self._add("GET", "/v1/sessions/{session_id}", sessions.read, openapi.reading_session())
        self._add("DELETE", "/v1/sessions/{session_id}", sessions.delete, openapi.deleting_session())

    def _add(self, method: str, path: str, handler: Handler, operation: Schema) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                refuse_keys(request.query_params)
                return await handler(request, await self._gate.admit(request))
            except RequestError as error:
                return refuse(error, request)
            except StoreError as error:
                return refuse(unavailable(error), request)

        if "{" not in path:
            self.endpoints[method, path] = endpoint
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_class=Response,
            operation_id=f"{method.lower()}{re.sub('[^a-z0-9]+', '_', path).rstrip('_')}",
            openapi_extra=operation,
        )
