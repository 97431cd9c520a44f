"""The library face for a single route: somebody's own iterator, streamed as tailrace streams."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace.dialects import find_dialect
from tailrace.errors import RequestError
from tailrace.generation import Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.providers.iterator import IteratorProvider, Source
from tailrace.requests import ChatRequest
from tailrace.settings import OnDisconnect, StreamSettings
from tailrace.web.delivery import Delivery
from tailrace.web.edge import REQUEST_ID, new_request_id
from tailrace.web.feed import Head, StreamFeed

_shared: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Generations]] = WeakKeyDictionary()
"""Each event loop's generations, for routes without a `Tailrace`."""


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


class IteratorResponse(Response):
    """One iterator as a response; `generations` None means the event loop's shared ones."""

    def __init__(
        self,
        source: Source,
        *,
        format: str,  # noqa: A002
        settings: StreamSettings | None = None,
        generations: Generations | None = None,
        on_disconnect: OnDisconnect = "cancel",
        model: str = "iterator",
    ) -> None:
        self._dialect = find_dialect(format)
        self._attempt = Attempt(
            provider=IteratorProvider(source, name=model), request=ChatRequest(model=model, messages=())
        )
        # An iterator can be read only once, so nothing is asked again
        self._settings = msgspec.structs.replace(settings or StreamSettings(), retries=0)
        self._generations = generations
        self._on_disconnect = on_disconnect
        self.raw_headers = []
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope.get(REQUEST_ID) or new_request_id()
        if REQUEST_ID not in scope:
            self.raw_headers.append((b"x-request-id", request_id.encode()))
        try:
            generation = self._start(request_id)
        except RequestError as error:
            await self._refuse(error, request_id)(scope, receive, send)
            return
        headers = [(b"x-tailrace-stream", generation.id.encode()), *self.raw_headers]
        head = Head(request_id=request_id, headers=headers, refusable=False)
        feed = StreamFeed(generation.log, self._dialect, head=head)
        delivery = Delivery(feed, settings=self._settings)
        delivery.background = self.background
        await delivery(scope, receive, send)

    def _start(self, request_id: str) -> Generation:
        return (self._generations or _shared_generations()).start(
            [self._attempt],
            on_disconnect=self._on_disconnect,
            dialect=self._dialect.name,
            request_id=request_id,
            settings=self._settings,
        )

    def _refuse(self, error: RequestError, request_id: str) -> Response:
        media_type, body = self._dialect.refusal(error, request_id)
        refusal = Response(body, status_code=error.status, media_type=media_type, headers=error.headers)
        refusal.raw_headers += self.raw_headers
        return refusal


def _shared_generations() -> Generations:
    loop = asyncio.get_running_loop()
    if loop not in _shared:
        _shared[loop] = Generations(StreamSettings(), metrics=Metrics())
    return _shared[loop]
