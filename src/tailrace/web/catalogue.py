"""The models that a caller may name: the entries of `[models]`, and what each provider says it has."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import list_anthropic_models, list_models
from tailrace.errors import RequestError, UpstreamError
from tailrace.providers import Provider
from tailrace.settings import Models, Settings
from tailrace.web.auth import AllowLists, Caller
from tailrace.web.exchanges import own_headers

_KEPT_S: Final = 300.0
_PATIENCE_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Stock(Protocol):
    """What the catalogue is made from."""

    settings: Settings
    models: Models
    providers: Mapping[str, Provider]


class Catalogue:
    """Asks every provider for its models, keeps the answers for five minutes, and shows each caller its own part."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._allow_lists = AllowLists(stock.models)
        self._names: list[str] = []
        self._created = int(time.time())
        self._good_until = 0.0
        self._asking = asyncio.Lock()

    @property
    def created(self) -> int:
        """The time that every model is listed with."""
        return self._created

    async def names(self, caller: Caller) -> list[str]:
        """The names that a caller may ask for."""
        return [name for name in await self._fresh() if self._allows(caller, name)]

    async def show(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/models`, as OpenAI lists them, or to clients of Anthropic's as that does."""
        names = await self.names(caller)
        as_anthropic = "anthropic-version" in request.headers
        body = list_anthropic_models(names) if as_anthropic else list_models(names, self._created)
        response = Response(body, media_type="application/json")
        response.raw_headers += own_headers(request)
        return response

    async def _fresh(self) -> list[str]:
        async with self._asking:
            if time.monotonic() >= self._good_until:
                offers = await asyncio.gather(*map(self._ask, self._switched_on()))
                self._names = list(dict.fromkeys(itertools.chain(self._stock.settings.models, *offers)))
                self._good_until = time.monotonic() + _KEPT_S
        return self._names

    def _switched_on(self) -> Sequence[Provider]:
        """Not an Ollama that nobody spoke of: it is asked only for what it is asked for."""
        known = self._stock.settings.providers
        return [provider for name, provider in self._stock.providers.items() if name not in known or known[name].on]

    async def _ask(self, provider: Provider) -> list[str]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                offered = await provider.models()
        except (TimeoutError, UpstreamError) as error:
            _log.warning("models_unknown", provider=provider.name, error=str(error) or "no answer in time")
            return []
        return [name if name == provider.name else f"{provider.name}/{name}" for name in offered]

    def _allows(self, caller: Caller, name: str) -> bool:
        try:
            return self._allow_lists.allow(caller, self._stock.models.resolve(name))
        except RequestError:
            return False
