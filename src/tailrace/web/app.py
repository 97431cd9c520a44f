"""The wiring: everything that tailrace is made of, put together once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, Call
from tailrace.errors import RequestError
from tailrace.events import Event
from tailrace.generation import Attempt, Generation, Generations
from tailrace.metrics import Metrics
from tailrace.providers import Provider
from tailrace.providers.iterator import Source
from tailrace.requests import ChatRequest, Message, user_message
from tailrace.settings import Models, OnDisconnect, ResolvedModel, Settings
from tailrace.streamlog import follow
from tailrace.version import __version__
from tailrace.web.auth import Gate, Identify, IdentifyGate, KeyGate, OpenGate
from tailrace.web.edge import Edge
from tailrace.web.library import IteratorResponse
from tailrace.web.pages import create_pages
from tailrace.web.routes import Routes, refuse
from tailrace.web.upstreams import create_providers


class Tailrace:
    """tailrace as a part of an application: its providers, its running answers, its routes.

    `providers` are upstreams of your own, by name; `identify` says which user a request comes from. Without
    `identify` and without an admin key nobody may call the routes, unless `open=True`: then this machine may.
    Run `lifespan` around everything else.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        providers: Mapping[str, Provider] | None = None,
        identify: Identify | None = None,
        open: bool = False,  # noqa: A002 - the word that the field uses
    ) -> None:
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self.generations = Generations(self.settings.stream, metrics=self.metrics)
        self.open_mode = open and identify is None and self.settings.admin_key is None
        self.gate = self._create_gate(identify)
        own = dict(providers or {})
        self._providers = {**create_providers(self.settings), **own}
        self._models = Models(self.settings, extra={name: provider.default_model for name, provider in own.items()})
        self._opened = False

    def _create_gate(self, identify: Identify | None) -> Gate:
        if identify is not None:
            return IdentifyGate(identify)
        return OpenGate(self.settings) if self.open_mode else KeyGate(self.settings.admin_key)

    @property
    def default_model(self) -> str:
        """The name of the model that answers where a request names none."""
        return self._models.default

    @property
    def router(self) -> APIRouter:
        """tailrace's API routes, to be included in your application, under any prefix."""
        return Routes(self).router

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None, None]:
        """Open the upstreams; at the end stop what runs and close them. Give it to `FastAPI(lifespan=…)`."""
        async with contextlib.AsyncExitStack() as stack:
            for provider in self._providers.values():
                await provider.open()
                stack.push_async_callback(provider.close)
            stack.push_async_callback(self.generations.close)
            self._opened = True
            stack.callback(setattr, self, "_opened", False)
            yield

    async def drain(self, seconds: float) -> None:
        """Take no new streams, let those that run end, and seal the rest as `draining` after so many seconds."""
        await self.generations.drain(seconds)

    def start(
        self,
        call: Call,
        *,
        on_disconnect: OnDisconnect = "cancel",
        owner: str = "",
        dialect: str = DELTA.name,
        request_id: str = "",
    ) -> Generation:
        """Begin to answer a call. Raises RequestError: no such model, its provider is off, or the server drains."""
        if not self._opened:
            raise RuntimeError("tailrace is not open: run its lifespan, as in FastAPI(lifespan=tailrace.lifespan)")
        found = self._models.resolve(call.request.model or None, backend=call.backend)
        return self.generations.start(
            [self._attempt(model, call.request) for model in (found, *found.fallbacks)],
            on_disconnect=on_disconnect,
            owner=owner,
            dialect=dialect,
            request_id=request_id,
        )

    def _attempt(self, model: ResolvedModel, request: ChatRequest) -> Attempt:
        max_tokens = self.settings.max_tokens if request.max_tokens is None else request.max_tokens
        return Attempt(
            provider=self._providers[model.provider],
            request=msgspec.structs.replace(request, model=model.model, max_tokens=max_tokens),
        )

    async def stream(
        self,
        *,
        message: str | None = None,
        messages: Sequence[Message] = (),
        model: str | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """Ask a model and yield the answer's events, up to and with `Finished` or `Failed`.

        `options` are the other fields of `ChatRequest`. Leaving the loop early stops the upstream: close the iterator
        (`contextlib.aclosing`) so that it stops at once. Raises RequestError as `start` does.
        """
        turns = (*messages, *(() if message is None else (user_message(message),)))
        generation = self.start(Call(request=ChatRequest(model=model or "", messages=turns, **options)))
        async with contextlib.aclosing(follow(generation.log)) as events:
            async for event in events:
                yield event

    def stream_response(self, source: Source, *, format: str = "token") -> Response:  # noqa: A002
        """Somebody's own iterator as a streaming response, with this instance's settings, metrics and shutdown."""
        return IteratorResponse(source, format=format, generations=self.generations, settings=self.settings.stream)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole server, as `tailrace serve` runs it: open to this machine where no key exists."""
    tailrace = Tailrace(settings, open=True)
    app = FastAPI(
        title="tailrace",
        version=__version__,
        lifespan=tailrace.lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.tailrace = tailrace
    routes = Routes(tailrace)
    app.include_router(routes.router)
    app.include_router(create_pages(tailrace))
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(
        Edge,
        settings=tailrace.settings,
        metrics=tailrace.metrics,
        open_mode=tailrace.open_mode,
        endpoints=routes.endpoints,
    )
    return app


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself (no such path, wrong method) as problem JSON too."""
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    refusal = RequestError(error.status_code, code, message, headers=dict(error.headers or {}))
    return refuse(refusal, request)
