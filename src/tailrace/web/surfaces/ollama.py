"""Ollama's routes: chat and generate, and what its clients ask about models before they use one."""

from __future__ import annotations

import time
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import OLLAMA, OLLAMA_GENERATE, Call
from tailrace.dialects.ollama import ListedModel, Ollama, list_running, list_tags, read_show, show_model, tell_version
from tailrace.settings import ResolvedModel
from tailrace.web.answers import Amend, Answers
from tailrace.web.auth import AllowLists, Caller
from tailrace.web.bodies import read_json
from tailrace.web.catalogue import Catalogue, Stock
from tailrace.web.endpoints import Endpoints
from tailrace.web.exchanges import own_headers
from tailrace.web.openapi import ollama

_DEFAULT_TAG: Final = ":latest"
_NOW: Final = frozenset({0, "0", "0s"})


def add_ollama(endpoints: Endpoints, answers: Answers, catalogue: Catalogue, stock: Stock) -> None:
    """What a client of Ollama's asks for."""
    models = OllamaModels(stock, catalogue)
    chat = answers.posting(OLLAMA, amend=models.amending(OLLAMA))
    endpoints.add("POST", "/api/chat", chat, ollama.chatting(), dialect=OLLAMA)
    generate = answers.posting(OLLAMA_GENERATE, amend=models.amending(OLLAMA_GENERATE))
    endpoints.add("POST", "/api/generate", generate, ollama.generating(), dialect=OLLAMA_GENERATE)
    endpoints.add(
        "GET", "/api/tags", models.tags, ollama.listing("The models that this caller may use"), dialect=OLLAMA
    )
    endpoints.add("GET", "/api/ps", models.running, ollama.listing("The models that are loaded: none"), dialect=OLLAMA)
    endpoints.add("POST", "/api/show", models.show, ollama.showing(), dialect=OLLAMA)
    endpoints.add("GET", "/api/version", models.version, ollama.telling_version(), dialect=OLLAMA)
    # Ollama's own command line asks so whether a server is there.
    endpoints.add("HEAD", "/", models.alive, ollama.being_there(), dialect=OLLAMA)


class OllamaModels:
    """The models, as Ollama's clients look at them."""

    def __init__(self, stock: Stock, catalogue: Catalogue) -> None:
        self._stock = stock
        self._catalogue = catalogue
        self._allow_lists = AllowLists(stock.models)

    def amending(self, dialect: Ollama) -> Amend:
        """Calls get their model's plain name; one without messages only has a model loaded, which needs no doing."""

        def amend(request: Request, caller: Caller, call: Call) -> Call | Response:
            name = self._untag(call.request.model)
            if call.request.messages:
                named = msgspec.structs.replace(call.request, model=name)
                return msgspec.structs.replace(call, request=named)
            found = self._find(name, caller)
            return _answer(request, dialect.idle(found.name, _reason(call), time.time()))

        return amend

    async def tags(self, request: Request, caller: Caller) -> Response:
        """`GET /api/tags`."""
        names = await self._catalogue.names(caller)
        return _answer(request, list_tags([self._listed(self._stock.models.resolve(name)) for name in names]))

    async def show(self, request: Request, caller: Caller) -> Response:
        """`POST /api/show`."""
        body = await read_json(request, max_body=self._stock.settings.server.max_body)
        return _answer(request, show_model(self._listed(self._find(self._untag(read_show(body)), caller))))

    async def running(self, request: Request, _: Caller) -> Response:
        """`GET /api/ps`."""
        return _answer(request, list_running())

    async def version(self, request: Request, _: Caller) -> Response:
        """`GET /api/version`."""
        return _answer(request, tell_version())

    async def alive(self, request: Request, _: Caller) -> Response:
        """`HEAD /`."""
        return _answer(request, b"")

    def _find(self, name: str, caller: Caller) -> ResolvedModel:
        found = self._stock.models.resolve(name or None)
        self._allow_lists.check(caller, found)
        return found

    def _listed(self, model: ResolvedModel) -> ListedModel:
        return ListedModel(name=model.name, provider=model.provider, since=self._catalogue.created)

    def _untag(self, name: str) -> str:
        """Clients put Ollama's default tag behind any name; only an upstream that is an Ollama has models with it."""
        bare = name.removesuffix(_DEFAULT_TAG)
        provider = self._stock.settings.providers.get(bare.partition("/")[0])
        is_tagged = name in self._stock.settings.models or (provider is not None and provider.kind == "ollama")
        return name if is_tagged else bare


def _reason(call: Call) -> Literal["load", "unload"]:
    native = call.request.native
    return "unload" if native is not None and native.hints.get("keep_alive") in _NOW else "load"


def _answer(request: Request, body: bytes) -> Response:
    response = Response(body, media_type="application/json", headers={"cache-control": "no-store"})
    response.raw_headers += own_headers(request)
    return response
