"""The routes for keys, tokens and usage behind a real server, with a ledger in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.ledger_fake import FakeLedger
from tests.reader import Answer, ask
from tests.server import serving

from tailrace.errors import RequestError
from tailrace.generation import Generations
from tailrace.keys import hash_secret, make_text
from tailrace.ledger import Key
from tailrace.metrics import Metrics
from tailrace.providers import Provider
from tailrace.providers.simulated import SimulatedProvider
from tailrace.settings import Models, Secret, Settings
from tailrace.web.admin import AdminRoutes
from tailrace.web.auth import Gate, KeyGate
from tailrace.web.exchanges import refuse

ADMIN_KEY: Final = "tr_admin_" + "k" * 43


class Desk:
    """The application that the routes stand in, and a client of it. `gate` may be put in the place of the keys'."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.settings = Settings()
        self.models = Models(self.settings)
        self.ledger = FakeLedger()
        self.metrics = Metrics()
        self.generations = Generations(self.settings.stream, metrics=self.metrics)
        self.providers: Mapping[str, Provider] = {"simulated": SimulatedProvider(name="simulated")}
        self.key_gate = KeyGate(self.ledger, Secret(ADMIN_KEY), poll_s=0.01)
        self.gate: Gate = gate or self.key_gate
        self.url = ""

    async def ask(
        self, method: str, target: str, body: object = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> Answer:
        """One request with this key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        credential: Mapping[str, str] = {} if key is None else {"x-api-key": key}
        return await ask(self.url, method, target, body, headers={**credential, **named})

    async def make_key(self, **fields: Any) -> tuple[Key, str]:
        """A key in the ledger, and its text."""
        text = make_text()
        key = Key(**{"id": text.id, "name": "n", "created_at": 0.0, **fields})
        await self.ledger.add_key(key, hash_secret(text.secret))
        return key, text.reveal()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[Desk, None]:
        """Serve it. `GET /who` says who one is."""
        app = FastAPI(lifespan=self._live)
        app.include_router(AdminRoutes(self).router)
        app.add_api_route("/who", self._tell, methods=["GET"])
        async with serving(app) as url:
            self.url = url
            yield self

    @contextlib.asynccontextmanager
    async def _live(self, _: object) -> AsyncGenerator[None, None]:
        await self.key_gate.open()
        yield
        await self.key_gate.close()

    async def _tell(self, request: Request) -> Response:
        try:
            caller = await self.gate.admit(request)
        except RequestError as error:
            return refuse(error, request)
        return JSONResponse({"name": caller.name, "admin": caller.admin, "session": caller.session_id})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk with an admin key."""
    async with Desk().running() as desk:
        yield desk


def problem(answer: Answer) -> tuple[int, str, str | None]:
    """The status, code and field of a refusal, which is problem JSON."""
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    return (answer.status, found["code"], found.get("field"))
