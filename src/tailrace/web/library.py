"""The library face for a single route: somebody's own iterator, streamed as tailrace streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace.dialects import find_dialect
from tailrace.errors import RequestError
from tailrace.generation import Admitted, Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.prices import Tariff
from tailrace.providers.iterator import IteratorProvider, Source
from tailrace.requests import ChatRequest
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.web.delivery import Delivery
from tailrace.web.edge import REQUEST_ID, new_request_id
from tailrace.web.feed import Head, StreamFeed, encode_headers

_UNPRICED: Final = Tariff()

_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Generations]] = WeakKeyDictionary()
"""Each event loop's generations, for routes without a `Tailrace`."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What an iterator's generation is begun with."""

    attempt: Attempt
    dialect: str
    request_id: str
    settings: StreamSettings
    on_disconnect: OnDisconnect


Begin: TypeAlias = Callable[[Beginning], Awaitable[Admitted]]


def stream_response(
    source: Source,
    format: str = "token",  # noqa: A002 - the word of the endpoints
    *,
    settings: StreamSettings | None = None,
    on_disconnect: OnDisconnect = "cancel",
    model: str = "iterator",
) -> Response:
    """A response that streams `source`: str or tailrace events, from an async or a blocking iterator.

    Text leaves as it comes; silence is bridged with heartbeats. The iterator is stopped when the client leaves
    (`on_disconnect`) or a timeout of `settings` passes; what it raises is logged, and reaches the client as an error
    event. It begins when the response is sent. Raises RequestError for an unknown format.
    """
    return IteratorResponse(source, format=format, settings=settings, on_disconnect=on_disconnect, model=model)


async def _begin_shared(beginning: Beginning) -> Admitted:
    loop = asyncio.get_running_loop()
    if loop not in _shared:
        _shared[loop] = Generations(StreamSettings(), metrics=Metrics())
    return Admitted(generation=begin_with(_shared[loop], beginning), headers={})


def begin_with(generations: Generations, beginning: Beginning) -> Generation:
    """Begin an iterator's generation that nobody pays for. Raises RequestError 503 while draining."""
    return generations.start(
        [beginning.attempt],
        on_disconnect=beginning.on_disconnect,
        dialect=beginning.dialect,
        request_id=beginning.request_id,
        settings=beginning.settings,
    )


class IteratorResponse(Response):
    """One iterator as a response; `begin` says who keeps its generation, by default the event loop's shared ones."""

    def __init__(
        self,
        source: Source,
        *,
        format: str,  # noqa: A002
        settings: StreamSettings | None = None,
        on_disconnect: OnDisconnect = "cancel",
        model: str = "iterator",
        tariff: Tariff = _UNPRICED,
        begin: Begin = _begin_shared,
    ) -> None:
        self._dialect = find_dialect(format)
        self._attempt = Attempt(
            provider=IteratorProvider(source),
            request=ChatRequest(model=model, messages=()),
            name=model,
            tariff=tariff,
        )
        # An iterator can be read only once, so nothing is asked again
        self._settings = msgspec.structs.replace(settings or StreamSettings(), retries=0)
        self._on_disconnect = on_disconnect
        self._begin = begin
        self.raw_headers = []
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope.get(REQUEST_ID) or new_request_id()
        if REQUEST_ID not in scope:
            self.raw_headers.append((b"x-request-id", request_id.encode()))
        try:
            admitted = await self._begin(self._beginning(request_id))
        except RequestError as error:
            await self._refuse(error, request_id)(scope, receive, send)
            return
        await self._deliver(admitted, request_id)(scope, receive, send)

    def _beginning(self, request_id: str) -> Beginning:
        return Beginning(
            attempt=self._attempt,
            dialect=self._dialect.name,
            request_id=request_id,
            settings=self._settings,
            on_disconnect=self._on_disconnect,
        )

    def _deliver(self, admitted: Admitted, request_id: str) -> Response:
        log = admitted.generation.log
        headers = [(b"x-tailrace-stream", log.id.encode()), *encode_headers(admitted.headers), *self.raw_headers]
        head = Head(request_id=request_id, headers=headers, refusable=False)
        delivery = Delivery(StreamFeed(log, self._dialect, head=head), settings=self._settings)
        delivery.background = self.background
        return delivery

    def _refuse(self, error: RequestError, request_id: str) -> Response:
        media_type, body = self._dialect.refusal(error, request_id)
        refusal = Response(body, status_code=error.status, media_type=media_type, headers=error.headers)
        refusal.raw_headers += self.raw_headers
        return refusal
