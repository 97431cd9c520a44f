"""The wiring: everything that tailrace is made of, put together once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace.billing import BillingWorker, StripeSender
from tailrace.dialects import Call
from tailrace.errors import RequestError, StreamError
from tailrace.events import Event
from tailrace.generation import Admission, Admitted, Attempt, Bookkeeper, Generations, Order
from tailrace.ledger import Joined, create_ledger, place_beside
from tailrace.limits import create_limits
from tailrace.metrics import Metrics
from tailrace.prices import ITERATOR, Prices
from tailrace.providers import Provider
from tailrace.providers.iterator import Source
from tailrace.requests import ChatRequest, Message, user_message
from tailrace.settings import Models, OnDisconnect, ResolvedModel, Settings
from tailrace.streamlog import create_store, follow
from tailrace.version import __version__
from tailrace.web.admin import AdminRoutes
from tailrace.web.answers import Asked
from tailrace.web.auth import (
    APPLICATION,
    AllowLists,
    Caller,
    Gate,
    Identify,
    IdentifyGate,
    KeyGate,
    OpenGate,
    UntilKeyedGate,
)
from tailrace.web.edge import Edge, unexpected
from tailrace.web.exchanges import refuse, request_id
from tailrace.web.library import Beginning, IteratorResponse, begin_with
from tailrace.web.pages import create_pages
from tailrace.web.routes import Routes
from tailrace.web.upstreams import create_providers


class Tailrace:
    """tailrace as a part of an application: its providers, its ledger, its running answers, its routes.

    `providers` are upstreams of your own, by name; `identify` says which user a request comes from. Without `identify`
    callers need a key, unless `open=True`: then this machine may as long as no key was ever made. Run `lifespan`
    around everything else.
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
        self.store = create_store(
            self.settings, place_beside(self.settings, "streams"), on_flush=self.metrics.log_written
        )
        self.generations = Generations(self.settings.stream, metrics=self.metrics, store=self.store)
        self.ledger = create_ledger(self.settings)
        self.key_gate = KeyGate(
            self.ledger, self.settings.admin_key, trusted_proxies=self.settings.server.trusted_proxies
        )
        self.gate = self._create_gate(identify, open)
        self._limits = create_limits(self.settings, on_check=self.metrics.limits_checked)
        self._billing = self._create_billing()
        self._admission = Admission(
            self.settings, ledger=self.ledger, limits=self._limits, generations=self.generations
        )
        own = dict(providers or {})
        self.providers: Mapping[str, Provider] = {**create_providers(self.settings), **own}
        self._tariff = functools.lru_cache(maxsize=1024)(Prices(self.settings).tariff)
        self.models = Models(self.settings, extra={name: provider.default_model for name, provider in own.items()})
        self._allow_lists = AllowLists(self.models)
        self._opened = False

    def _create_gate(self, identify: Identify | None, open_mode: bool) -> Gate:
        if identify is not None:
            return IdentifyGate(identify)
        return UntilKeyedGate(OpenGate(self.settings), self.key_gate) if open_mode else self.key_gate

    def _create_billing(self) -> BillingWorker | None:
        if self.settings.stripe_api_key is None:
            return None
        sender = StripeSender(self.settings.stripe_api_key, base=self.settings.stripe_api_base)
        return BillingWorker(self.ledger, sender, self.metrics)

    @property
    def is_open(self) -> bool:
        """Whether this machine may without a key."""
        return isinstance(self.gate, UntilKeyedGate) and self.gate.is_open

    @property
    def default_model(self) -> str:
        """The name of the model that answers where a request names none."""
        return self.models.default

    @property
    def router(self) -> APIRouter:
        """tailrace's API routes, to be included in your application, under any prefix."""
        router = APIRouter()
        router.include_router(Routes(self).router)
        router.include_router(AdminRoutes(self).router)
        return router

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None, None]:
        """Open the ledger and the upstreams; at the end stop what runs and close them.

        Give it to `FastAPI(lifespan=…)`. Raises SettingsError for a ledger that can't be opened.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self.ledger.open()
            stack.push_async_callback(self.ledger.close)
            await self.store.open()
            stack.push_async_callback(self.store.close)
            await self._limits.open()
            stack.push_async_callback(self._limits.close)
            await self.key_gate.open()
            stack.push_async_callback(self.key_gate.close)
            self.key_gate.on_revoked(self._stop_streams_of)
            for provider in self.providers.values():
                await provider.open()
                stack.push_async_callback(provider.close)
            if self._billing is not None:
                self._billing.start()
                stack.push_async_callback(self._billing.stop)
            bookkeeper = Bookkeeper(self.ledger, self.generations)
            bookkeeper.start()
            stack.push_async_callback(bookkeeper.stop)
            stack.push_async_callback(self.generations.close)
            self._opened = True
            stack.callback(setattr, self, "_opened", False)
            yield

    async def drain(self, seconds: float) -> None:
        """Take no new streams, let those that run end, and seal the rest as `draining` after so many seconds."""
        await self.generations.drain(seconds)

    async def require_key(self, request: Request) -> Caller:
        """A FastAPI dependency for routes of your own: `caller: Caller = Depends(tailrace.require_key)`.

        Raises HTTPException with the status and headers that tailrace's own routes answer.
        """
        try:
            return await self.gate.admit(request)
        except RequestError as error:
            raise HTTPException(error.status, error.message, error.headers or None) from None

    def _stop_streams_of(self, key_id: str) -> None:
        for generation in self.generations.running():
            if generation.account is not None and generation.account.opening.scope.key_id == key_id:
                generation.stop(StreamError("key_revoked", "the key was revoked"))

    async def admit(self, call: Call, asked: Asked) -> Admitted | Joined:
        """Begin to answer a call, or name the generation that it joins.

        Raises RequestError: no such model, its provider is off, and all that `Admission.admit` raises.
        """
        self._require_open()
        found = self.models.resolve(call.request.model or None, backend=call.backend)
        self._allow_lists.check(asked.caller, found)
        admitted = await self._admission.admit(
            Order(
                scope=asked.caller.scope,
                key=asked.caller.key,
                attempts=tuple(self._attempt(model, call.request) for model in (found, *found.fallbacks)),
                session_id=asked.caller.choose_session(call.session_id),
                after=call.after,
                idempotency_key=asked.idempotency_key,
                body_hash=asked.body_hash,
                on_disconnect=asked.on_disconnect,
                owner=asked.caller.name,
                dialect=asked.dialect,
                request_id=asked.request_id,
                chat_id=call.chat_id,
                filing=asked.filing,
            )
        )
        # Between the gate and here lies the reading of a body: a key revoked meanwhile found no stream to stop.
        if isinstance(admitted, Admitted) and not self.key_gate.honours(asked.caller):
            admitted.generation.stop(StreamError("key_revoked", "the key was revoked"))
        return admitted

    def _require_open(self) -> None:
        if not self._opened:
            raise RuntimeError("tailrace is not open: run its lifespan, as in FastAPI(lifespan=tailrace.lifespan)")

    def _attempt(self, model: ResolvedModel, request: ChatRequest) -> Attempt:
        max_tokens = self.settings.max_tokens if request.max_tokens is None else request.max_tokens
        return Attempt(
            provider=self.providers[model.provider],
            request=msgspec.structs.replace(request, model=model.model, max_tokens=max_tokens),
            name=model.name,
            tariff=self._tariff(model.name, model.provider, model.model),
        )

    async def stream(
        self,
        *,
        message: str | None = None,
        messages: Sequence[Message] = (),
        model: str | None = None,
        session_id: str | None = None,
        after: str | None = None,
        caller: Caller | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """Ask a model and yield the answer's events, up to and with `Finished` or `Failed`.

        `session_id` goes on with a conversation, from behind its message `after` if that is named. `caller` is who
        pays, as `require_key` gives it; without one the application itself. `options` are the other fields of
        `ChatRequest`. Leaving the loop early stops the upstream: close the iterator (`contextlib.aclosing`)
        so that it stops at once. Raises RequestError as `admit` does.
        """
        turns = (*messages, *(() if message is None else (user_message(message),)))
        if not turns and after is None:
            raise RequestError(422, "invalid_field", "ask with message or messages", field="message")
        if after is not None and session_id is None:
            raise RequestError(422, "invalid_field", "after names a message of a session: name it too", field="after")
        request = ChatRequest(model=model or "", messages=turns, **options)
        call = Call(request=request, session_id=session_id, after=after)
        admitted = self._begun(await self.admit(call, Asked(caller=caller or Caller(key=APPLICATION))))
        async with contextlib.aclosing(follow(admitted.generation.log)) as events:
            async for event in events:
                yield event

    def stream_response(
        self,
        source: Source,
        *,
        format: str = "token",  # noqa: A002
        key: Caller | None = None,
        model: str = "iterator",
        on_disconnect: OnDisconnect = "cancel",
    ) -> Response:
        """Somebody's own iterator as a streaming response, with this instance's settings, metrics and shutdown.

        With `key`, as `require_key` gives it, the answer is metered and settled like any other: `model` names it in
        the usage, and prices it where `[models]` does.
        """
        self._require_open()
        return IteratorResponse(
            source,
            format=format,
            settings=self.settings.stream,
            on_disconnect=on_disconnect,
            model=model,
            tariff=self._tariff(model, ITERATOR, model),
            begin=functools.partial(self._begin_iterator, caller=key),
        )

    async def _begin_iterator(self, beginning: Beginning, *, caller: Caller | None) -> Admitted:
        if caller is None:
            return Admitted(generation=begin_with(self.generations, beginning), headers={})
        order = Order(
            scope=caller.scope,
            key=caller.key,
            attempts=(beginning.attempt,),
            on_disconnect=beginning.on_disconnect,
            owner=caller.name,
            dialect=beginning.dialect,
            request_id=beginning.request_id,
            settings=beginning.settings,
        )
        return self._begun(await self._admission.admit(order))

    def _begun(self, admitted: Admitted | Joined) -> Admitted:
        if isinstance(admitted, Admitted):
            return admitted
        raise RuntimeError("a call without an idempotency key joined another")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole server, as `tailrace serve` runs it: open to this machine where no key exists."""
    tailrace = Tailrace(settings, open=True)
    app = _Server(
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
    app.include_router(AdminRoutes(tailrace).router)
    app.include_router(create_pages(tailrace))
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _refuse_unexpected)
    app.put_behind(tailrace, routes)
    return app


class _Server(FastAPI):
    """The framework's application behind our own edge, which is outside of all of its middleware."""

    _edge: Edge

    def put_behind(self, tailrace: Tailrace, routes: Routes) -> None:
        self._edge = Edge(
            super().__call__,
            settings=tailrace.settings,
            metrics=tailrace.metrics,
            is_open=lambda: tailrace.is_open,
            find=lambda method, path: None if self.user_middleware else routes.find(method, path),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._edge(scope, receive, send)


async def _refuse_unexpected(request: Request, _: Exception) -> Response:
    """The framework raises the exception again once this is sent, so that the server logs it."""
    return refuse(unexpected(request_id(request)), request)


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself (no such path, wrong method) as problem JSON too."""
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    refusal = RequestError(error.status_code, code, message, headers=dict(error.headers or {}))
    return refuse(refusal, request)
