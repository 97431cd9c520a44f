"""The requests that generate: parsed, admitted, answered in a dialect."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import Call, Dialect, choose_variant
from tailrace.dialects.body import parse_messages, parse_query, read_on_disconnect
from tailrace.errors import RequestError, StoreError
from tailrace.generation import Admitted, Filing
from tailrace.ledger import Joined
from tailrace.settings import OnDisconnect, Settings
from tailrace.streamlog import RingLog
from tailrace.web.auth import Caller
from tailrace.web.bodies import read_json
from tailrace.web.exchanges import request_id
from tailrace.web.feed import Headers, encode_headers
from tailrace.web.streams import Streams, try_again

Handler: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]
Amend: TypeAlias = Callable[[Request, Caller, Call], Call | Response]
"""Changes a parsed call, or answers it where it asks for no model's answer. Raises RequestError."""

_EVENT_SOURCE_GRACE_S: Final = 10.0
_LONGEST_IDEMPOTENCY_KEY: Final = 255


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """How a call came in: who asks, and what the request says besides its body."""

    caller: Caller
    idempotency_key: str | None = None
    body_hash: str | None = None
    on_disconnect: OnDisconnect = "cancel"
    dialect: str = ""
    request_id: str = ""
    filing: Filing | None = None


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The log of an answer, begun for this request or joined by it, and the headers that go with it."""

    log: RingLog
    joined: bool
    headers: Headers = []


class Desk(Protocol):
    """What answering needs of the application; `Tailrace` is it."""

    settings: Settings

    async def admit(self, call: Call, asked: Asked) -> Admitted | Joined:
        """Begin to answer, or name the generation that is joined. Raises RequestError."""


class Answers:
    """Makes the handlers of the routes that generate."""

    def __init__(self, desk: Desk, streams: Streams) -> None:
        self._desk = desk
        self._streams = streams

    def posting(
        self,
        dialect: Dialect,
        *,
        streams: bool = True,
        backend: str | None = None,
        array: Dialect | None = None,
        amend: Amend | None = None,
        on_disconnect: OnDisconnect = "cancel",
    ) -> Handler:
        """A POST: it `streams` by default or not; a JSON array of messages is answered as `array`.

        `amend` is given each call first. `on_disconnect` holds where neither the request nor its key nor the settings
        say otherwise.
        """

        async def handle(request: Request, caller: Caller) -> Response:
            if (resumed := await self._streams.resume(request, caller, dialect)) is not None:
                return resumed
            body = await read_json(request, max_body=self._desk.settings.server.max_body)
            if array is not None and body.lstrip()[:1] == b"[":
                call = parse_messages(body, request.query_params)
                return await self._answer(request, caller, array, call, body=body)
            call = dialect.parse(body)
            if backend is not None:
                call = msgspec.structs.replace(call, backend=backend)
            if amend is not None:
                amended = amend(request, caller, call)
                if isinstance(amended, Response):
                    return amended
                call = amended
            whole = not (streams if call.stream is None else call.stream)
            chosen = choose_variant(dialect, call.dialect)
            return await self._answer(
                request, caller, chosen, call, body=body, whole=whole, on_disconnect=on_disconnect
            )

        return handle

    def listening(self, dialect: Dialect) -> Handler:
        """A GET, for EventSource: it can set no header, read no status, and comes back by itself."""

        async def handle(request: Request, caller: Caller) -> Response:
            if (resumed := await self._streams.resume(request, caller, dialect)) is not None:
                return resumed
            call = parse_query(request.query_params)
            return await self._answer(
                request, caller, dialect, call, event_source=True, on_disconnect=_EVENT_SOURCE_GRACE_S
            )

        return handle

    async def _answer(
        self,
        request: Request,
        caller: Caller,
        dialect: Dialect,
        call: Call,
        *,
        body: bytes = b"",
        whole: bool = False,
        event_source: bool = False,
        on_disconnect: OnDisconnect = "cancel",
    ) -> Response:
        try:
            begun = await self.begin(request, caller, dialect, call, body=body, on_disconnect=on_disconnect)
        except StoreError:
            if event_source:
                return try_again(request)
            raise
        return self.deliver(request, begun, dialect, whole=whole, event_source=event_source)

    async def begin(
        self,
        request: Request,
        caller: Caller,
        dialect: Dialect,
        call: Call,
        *,
        body: bytes = b"",
        on_disconnect: OnDisconnect = "cancel",
        filing: Filing | None = None,
    ) -> Begun:
        """Begin to answer, or join the answer of the same idempotency key. Raises RequestError."""
        key = _idempotency_key(request)
        asked = Asked(
            caller=caller,
            idempotency_key=key,
            body_hash=None if key is None else _hash(request, body, caller.session_id),
            on_disconnect=self._policy(request, call, caller, default=on_disconnect),
            dialect=dialect.name,
            request_id=request_id(request),
            filing=filing,
        )
        admitted = await self._desk.admit(call, asked)
        if isinstance(admitted, Joined):
            return Begun(log=await self._find_joined(admitted, caller), joined=True)
        return Begun(log=admitted.generation.log, joined=False, headers=encode_headers(admitted.headers))

    def deliver(
        self, request: Request, begun: Begun, dialect: Dialect, *, whole: bool = False, event_source: bool = False
    ) -> Response:
        """The answer from its start. An upstream's refusal is the HTTP status only to who had it begun."""
        return self._streams.deliver(
            request,
            begun.log,
            dialect,
            whole=whole,
            refusable=not (begun.joined or event_source),
            id_first=event_source,
            headers=begun.headers,
        )

    async def _find_joined(self, joined: Joined, caller: Caller) -> RingLog:
        log = await self._streams.await_log(joined.generation_id, caller)
        if log is None:
            raise RequestError(
                410, "stream_gone", f"the stream of this idempotency key, {joined.generation_id}, is kept no longer"
            )
        return log

    def _policy(self, request: Request, call: Call, caller: Caller, *, default: OnDisconnect) -> OnDisconnect:
        """The request's own word, else the key's, else the setting, else what suits the kind of request."""
        if call.on_disconnect is not None:
            return call.on_disconnect
        if (header := request.headers.get("x-tailrace-on-disconnect")) is not None:
            return read_on_disconnect(header, field="X-Tailrace-On-Disconnect")
        if caller.key.on_disconnect is not None:
            return read_on_disconnect(caller.key.on_disconnect, field="on_disconnect")
        if self._desk.settings.on_disconnect is not None:
            return self._desk.settings.on_disconnect
        return default


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None and request.scope["query_string"]:
        key = request.query_params.get("idempotency_key")
    if key is not None and not 0 < len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        message = f"an Idempotency-Key has 1 to {_LONGEST_IDEMPOTENCY_KEY} characters, not {len(key)}"
        raise RequestError(422, "invalid_field", message, field="Idempotency-Key")
    return key


def _hash(request: Request, body: bytes, session_id: str | None) -> str:
    """Two requests are the same if route, query, body and the session that a token is bound to are."""
    query = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in ("token", "idempotency_key"))
    said = repr((request.url.path, query, session_id)).encode()
    return hashlib.sha256(said + b"\n" + body).hexdigest()
