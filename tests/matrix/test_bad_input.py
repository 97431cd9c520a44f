"""What can't be answered: each surface says so in its own error's shape, with the place that is wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from tests.matrix.surfaces import SURFACES, Surface
from tests.reader import ask
from tests.server import embed, serving
from tests.upstream import ScriptedUpstream, answer

from tailrace import Settings, Tailrace
from tailrace.settings import ProviderSettings, Secret

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAULTS: Final = [
    pytest.param(surface, fault, id=f"{name}-{fault}") for name, surface in SURFACES.items() for fault in surface.faults
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    error = {"message": "Invalid content.", "param": "messages[0].content", "code": None}
    refusal = answer(json.dumps({"error": error}).encode(), "400 Bad Request", content_type="application/json")
    async with ScriptedUpstream([refusal]) as upstream:
        providers = {
            "plain": ProviderSettings(kind="langchain", target="tests.matrix.runnable:parrot"),
            "responses": ProviderSettings(kind="openai_responses", base_url=upstream.url, api_key=Secret("k")),
            "openai": ProviderSettings(kind="openai", base_url=upstream.url, api_key=Secret("k")),
        }
        settings = Settings(providers=providers, data_dir=tmp_path_factory.mktemp("data"))
        async with serving(embed(Tailrace(settings, open=True))) as url:
            yield url


@pytest.mark.parametrize(("surface", "fault"), FAULTS)
async def test_bad_input(url: str, surface: Surface, fault: str) -> None:
    """A wrong request is refused before anything streams, by the vendor's status and in the vendor's shape."""
    change, place = surface.faults[fault]
    for stream in (True, False):
        refused = await ask(url, "POST", surface.path, {**surface.right, **change, "stream": stream})
        by_us = fault in ("empty", "result", "schema")
        assert refused.status == (404 if fault == "model" else surface.status if by_us else 400)
        field, words = surface.told(refused)
        assert field == place if field is not None else words.startswith(place)
