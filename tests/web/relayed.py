"""A gateway before an upstream that speaks OpenAI's Responses too, and what a client asks of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway import Gateway, gateway
from tests.providers.reading import recorded
from tests.reader import Answer
from tests.upstream import ScriptedUpstream, Scripts, answer
from tests.web.responding import ALL

from tailrace.providers import Provider
from tailrace.providers.openai_responses import OpenAIResponsesProvider


def events_of(body: bytes) -> list[bytes]:
    """A script that answers with these bytes as an event stream."""
    return [answer(body, content_type="text/event-stream")]


def recording(name: str) -> list[bytes]:
    return events_of(recorded(f"openai_responses_{name}.sse"))


@asynccontextmanager
async def relaying(
    script: Scripts, *others: Provider, model: str = "up/m", **settings: Any
) -> AsyncIterator[tuple[Gateway, ScriptedUpstream]]:
    """A gateway before an upstream of this format, which is its default."""
    async with ScriptedUpstream(script) as upstream:
        provider = OpenAIResponsesProvider(name="up", base_url=f"{upstream.url}/v1")
        async with gateway(provider, *others, **{"default_model": model, **settings}) as house:
            yield house, upstream


async def ask(house: Gateway, **fields: Any) -> Answer:
    """One response, streamed."""
    return await house.ask("POST", ALL, {"input": "Hi", "stream": True, **fields})


async def respond(house: Gateway, **fields: Any) -> Any:
    """One response, whole."""
    told = await house.ask("POST", ALL, {"input": "Hi", **fields})
    assert told.status == 200, told.body
    return told.json()


def data_of(told: Answer) -> list[bytes]:
    return [event.data.encode() for event in told.events]


def sent_to(upstream: ScriptedUpstream, number: int = -1) -> Any:
    return json.loads(upstream.requests[number].body)


def name_of(told: Answer) -> str:
    return "resp_" + told.headers["x-tailrace-stream"].removeprefix("gen_")


def adopted(told: Answer, upstream_id: str) -> str:
    """Our name for an upstream's item."""
    return f"{upstream_id.partition('_')[0]}_{told.headers['x-tailrace-stream'].removeprefix('gen_')}_{upstream_id}"


def items_of(name: str) -> list[Any]:
    """The output of a recording as it goes back."""
    line = [line for line in recorded(f"openai_responses_{name}.sse").split(b"\n") if line.startswith(b"data: ")][-1]
    output = json.loads(line[6:])["response"]["output"]
    for part in (part for item in output for part in item.get("content") or ()):
        part.pop("logprobs", None)
    return list(output)
