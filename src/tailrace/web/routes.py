"""tailrace's own API routes: what they take, who may, and which format they answer in."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, META, RAW, TOKEN, Call, Dialect, find_dialect
from tailrace.dialects.base import json_bytes
from tailrace.dialects.body import parse_body, parse_messages, parse_query, read_on_disconnect, refuse_keys
from tailrace.errors import RequestError, StreamError
from tailrace.generation import Generation, Generations
from tailrace.settings import OnDisconnect, Settings
from tailrace.streamlog import RingLog
from tailrace.web.auth import Caller, Gate
from tailrace.web.bodies import read_json
from tailrace.web.cursors import Place, parse_place
from tailrace.web.delivery import Delivery
from tailrace.web.edge import REQUEST_ID, Endpoint, new_request_id
from tailrace.web.feed import Feed, Head, Headers, StreamFeed, WholeFeed
from tailrace.web.openapi import Schema, cancelling, listening, listing, posting, reading
from tailrace.web.states import describe

Handler: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]

_EVENT_SOURCE_GRACE_S: Final = 10.0


class Host(Protocol):
    """What the routes need of the application; `Tailrace` is it."""

    settings: Settings
    gate: Gate
    generations: Generations

    def start(
        self, call: Call, *, on_disconnect: OnDisconnect, owner: str, dialect: str, request_id: str
    ) -> Generation:
        """Begin to answer. Raises RequestError."""


class Routes:
    """Builds the router, and the table of the same endpoints by method and path.

    Every handler is told the caller; every refusal leaves as problem JSON.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.router = APIRouter(tags=["tailrace"])
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self._add_chat()
        self._add_streams()

    def _add_chat(self) -> None:
        for prefix in ("/v1", "/api/v1", "/api"):
            self._add("POST", f"{prefix}/chat/stream", self._posting(DELTA), posting("Stream an answer", "delta"))
            self._add("GET", f"{prefix}/chat", self._listening(DELTA), listening("The same, for EventSource", "delta"))
        chat = posting("Answer in one JSON, or streaming where `stream` is true", "delta", whole=True)
        self._add("POST", "/v1/chat", self._posting(DELTA, streams=False), chat)
        tokens = posting("Stream an answer; of a bare array of messages as raw", "token", "raw", array=True)
        self._add("POST", "/chat/stream", self._posting(TOKEN, array=RAW), tokens)
        self._add("GET", "/chat/stream", self._listening(RAW), listening("Stream an answer's bare text", "raw"))
        meta = posting("Stream an answer and its times", "meta")
        self._add("POST", "/chat/stream-meta", self._posting(META), meta)
        for backend in ("anthropic", "langchain"):
            backed = posting(f"Stream an answer of the {backend} provider", "token")
            self._add("POST", f"/{backend}/stream", self._posting(TOKEN, backend=backend), backed)

    def _add_streams(self) -> None:
        self._add("GET", "/v1/streams", self._list_streams, listing())
        self._add("GET", "/v1/streams/{stream_id}", self._read_stream, reading())
        self._add("POST", "/v1/streams/{stream_id}/cancel", self._cancel_stream, cancelling())

    def _add(self, method: str, path: str, handler: Handler, operation: Schema) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request, await self._admit(request))
            except RequestError as error:
                return refuse(error, request)

        if "{" not in path:
            self.endpoints[method, path] = endpoint
        operation_id = f"{method.lower()}{re.sub('[^a-z0-9]+', '_', path).rstrip('_')}"
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_class=Response,
            operation_id=operation_id,
            openapi_extra=operation,
        )

    async def _admit(self, request: Request) -> Caller:
        refuse_keys(request.query_params)
        return await self._host.gate.admit(request)

    # Answers

    def _posting(
        self, dialect: Dialect, *, streams: bool = True, backend: str | None = None, array: Dialect | None = None
    ) -> Handler:
        """A POST that generates: `streams` by default or not, a JSON array of messages answered as `array`."""

        async def handle(request: Request, caller: Caller) -> Response:
            if (resumed := self._resume(request, caller, dialect)) is not None:
                return resumed
            body = await read_json(request, max_body=self._host.settings.server.max_body)
            if array is not None and body.lstrip()[:1] == b"[":
                return self._answer(request, caller, array, parse_messages(body, request.query_params), "cancel")
            call = parse_body(body)
            if backend is not None:
                call = msgspec.structs.replace(call, backend=backend)
            whole = not (streams if call.stream is None else call.stream)
            return self._answer(request, caller, dialect, call, "cancel", whole=whole)

        return handle

    def _listening(self, dialect: Dialect) -> Handler:
        """A GET that generates, for EventSource: it can set no header, read no status, and comes back by itself."""

        async def handle(request: Request, caller: Caller) -> Response:
            if (resumed := self._resume(request, caller, dialect)) is not None:
                return resumed
            call = parse_query(request.query_params)
            return self._answer(request, caller, dialect, call, _EVENT_SOURCE_GRACE_S, event_source=True)

        return handle

    def _answer(
        self,
        request: Request,
        caller: Caller,
        dialect: Dialect,
        call: Call,
        default: OnDisconnect,
        *,
        whole: bool = False,
        event_source: bool = False,
    ) -> Response:
        request_id = _request_id(request)
        generation = self._host.start(
            call,
            on_disconnect=self._policy(request, call, default),
            owner=caller.name,
            dialect=dialect.name,
            request_id=request_id,
        )
        head = _head(request, generation.log, refusable=not event_source, id_first=event_source)
        feed: Feed = (WholeFeed if whole else StreamFeed)(generation.log, dialect, head=head)
        return Delivery(feed, settings=self._host.settings.stream)

    def _policy(self, request: Request, call: Call, default: OnDisconnect) -> OnDisconnect:
        """The request's own word, else the setting, else what suits the kind of request."""
        said = call.on_disconnect
        if said is None and (header := request.headers.get("x-tailrace-on-disconnect")) is not None:
            said = read_on_disconnect(header, field="X-Tailrace-On-Disconnect")
        if said is None:
            said = self._host.settings.on_disconnect
        return default if said is None else said

    # Streams that are there already

    def _resume(self, request: Request, caller: Caller, dialect: Dialect) -> Response | None:
        """A generating request that carries a cursor resumes and never generates: 204 where nothing is left."""
        cursor = request.headers.get("last-event-id")
        if not cursor:
            return None
        place = parse_place(cursor)
        log = self._find(place.log_id, caller)
        if log is None:
            return Response(status_code=204)
        return self._attach(request, log, dialect, place)

    def _attach(self, request: Request, log: RingLog, dialect: Dialect, place: Place) -> Response:
        if place.frames and log.dialect != dialect.name:
            raise RequestError(
                400, "bad_cursor", f"this cursor belongs to the format {log.dialect}, not {dialect.name}"
            )
        if place.seq + bool(place.frames) > log.tail:
            raise RequestError(400, "bad_cursor", f"the cursor is beyond the stream's last entry, {log.tail}")
        if log.terminal is not None and place.seq >= log.tail:
            return Response(status_code=204)
        head = _head(request, log, refusable=False)
        feed = StreamFeed(log, dialect, head=head, after=place.seq, frames=place.frames)
        return Delivery(feed, settings=self._host.settings.stream)

    def _find(self, stream_id: str, caller: Caller) -> RingLog | None:
        log = self._host.generations.ring.get(stream_id)
        return log if log is not None and (caller.admin or log.owner == caller.name) else None

    def _get(self, request: Request, caller: Caller) -> RingLog:
        stream_id = request.path_params["stream_id"]
        log = self._find(stream_id, caller)
        if log is None:
            raise RequestError(404, "stream_not_found", f"there is no stream {stream_id[:80]!r}")
        return log

    async def _list_streams(self, request: Request, caller: Caller) -> Response:
        logs = [log for log in self._host.generations.ring if caller.admin or log.owner == caller.name]
        return _json({"data": [describe(log, with_text=False) for log in reversed(logs)]})

    async def _read_stream(self, request: Request, caller: Caller) -> Response:
        log = self._get(request, caller)
        if "text/event-stream" not in request.headers.get("accept", ""):
            return _json(describe(log))
        dialect = find_dialect(request.query_params.get("format", log.dialect))
        return self._attach(request, log, dialect, _place(request, log))

    async def _cancel_stream(self, request: Request, caller: Caller) -> Response:
        log = self._get(request, caller)
        if (generation := self._host.generations.get(log.id)) is not None:
            generation.stop(StreamError("cancelled", "the stream was cancelled"))
            await generation.ended()
        return _json(describe(log, with_text=False))


def _place(request: Request, log: RingLog) -> Place:
    """`Last-Event-ID`, else `?after=SEQ`, else the beginning."""
    if cursor := request.headers.get("last-event-id"):
        place = parse_place(cursor)
        if place.log_id != log.id:
            raise RequestError(400, "bad_cursor", "the Last-Event-ID is of another stream")
        return place
    after = request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 10):
        raise RequestError(400, "bad_cursor", f"after must be an entry's number, not {after[:40]!r}", field="after")
    return Place(log_id=log.id, seq=int(after))


def _head(request: Request, log: RingLog, *, refusable: bool, id_first: bool = False) -> Head:
    headers: Headers = [(b"x-tailrace-stream", log.id.encode())]
    return Head(
        request_id=_request_id(request),
        headers=headers + _own_request_id(request),
        refusable=refusable,
        id_first=id_first,
    )


def _request_id(request: Request) -> str:
    """The edge's, or one of our own where another application stands around us."""
    state = request.scope.setdefault("state", {})
    if REQUEST_ID in request.scope:
        return str(request.scope[REQUEST_ID])
    return str(state.setdefault(REQUEST_ID, new_request_id()))


def _own_request_id(request: Request) -> Headers:
    """The edge adds its id to every response; without it we add ours."""
    return [] if REQUEST_ID in request.scope else [(b"x-request-id", _request_id(request).encode())]


def refuse(error: RequestError, request: Request) -> Response:
    """A refusal as problem JSON."""
    media_type, body = DELTA.refusal(error, _request_id(request))
    response = Response(body, status_code=error.status, media_type=media_type, headers=error.headers)
    response.raw_headers += _own_request_id(request)
    return response


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type="application/json", headers={"cache-control": "no-store"})
