"""One server with every kind of provider, the upstreams behind it, and every client before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import msgspec
import ollama
import openai
from tests.dialects.ai_sdk.sdk import running_sdk
from tests.matrix import runnable
from tests.matrix.client import Client
from tests.matrix.conversation import Heard
from tests.matrix.hearing import HEARINGS
from tests.matrix.openai_clients import ChatCompletions, Responses
from tests.matrix.own_clients import Chat, Own
from tests.matrix.parts import PARTS
from tests.matrix.vendor_clients import Messages, Ollama
from tests.providers.reading import recorded
from tests.providers.speaking import FORMATS
from tests.server import embed, serving
from tests.upstream import ReceivedRequest, Script, ScriptedUpstream

import tailrace
from tailrace import Settings, Tailrace
from tailrace.settings import ProviderSettings, Secret

CLIENTS: Final = tuple(client.name for client in (ChatCompletions, Responses, Messages, Ollama, Chat, Own))
_KEY: Final = "any text"
_KINDS: Final = {
    "/v1/chat/completions": "openai",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
    "/api/chat": "ollama",
}


class House(msgspec.Struct, frozen=True):
    """What a cell of the matrix needs."""

    clients: dict[str, Client]
    upstream: ScriptedUpstream

    @property
    def kinds(self) -> Set[str]:
        """The kinds of upstreams that can be asked what they heard; the simulated model is none."""
        return {*HEARINGS, "langchain"}

    def asked(self) -> int:
        """How often the upstreams were asked so far."""
        return len(self.upstream.requests) + len(runnable.heard)

    def heard(self, kind: str) -> Heard:
        """What an upstream of this kind was asked last."""
        if kind == "langchain":
            return runnable.heard[-1]
        request = self.upstream.requests[-1]
        assert _KINDS[request.target] == kind
        return HEARINGS[kind](json.loads(request.body))


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """All of it, for as many cells as there are; the server's ledger is in the folder."""
    async with ScriptedUpstream(_play) as upstream, running_sdk() as sdk:
        providers = {
            kind: ProviderSettings(kind=kind, base_url=upstream.url + FORMATS[kind].base, api_key=Secret(_KEY))
            for kind in ("openai", "openai_responses", "anthropic", "ollama")
        }
        providers["langchain"] = ProviderSettings(kind="langchain", target="tests.matrix.runnable:player")
        async with (
            serving(embed(Tailrace(Settings(providers=providers, data_dir=folder), open=True))) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=_KEY, max_retries=0) as of_openai,
            anthropic.AsyncAnthropic(base_url=url, api_key=_KEY, max_retries=0) as of_anthropic,
            ollama.AsyncClient(url, trust_env=False) as of_ollama,
            tailrace.Client(url) as own,
        ):
            clients: tuple[Client, ...] = (
                *(ChatCompletions(of_openai), Responses(of_openai), Messages(of_anthropic)),
                *(Ollama(of_ollama), Chat(sdk, url), Own(own)),
            )
            yield House({client.name: client for client in clients}, upstream)


def _play(request: ReceivedRequest) -> Script:
    """The part that the model's name is; once it has answered, the text."""
    kind = _KINDS[request.target]
    body: dict[str, Any] = json.loads(request.body)
    turns = body.get("messages") or body["input"]
    answered = any(turn.get("role") == "assistant" or turn.get("type") == "function_call" for turn in turns)
    part = PARTS[kind]["text" if answered else body["model"]]
    return FORMATS[kind].answer(recorded(part.recording))
