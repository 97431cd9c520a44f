"""Every client over every kind of upstream: what is said and what is asked means the same on both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import pytest
import pytest_asyncio
from tests.matrix.client import BrokenError, Client, RefusedError
from tests.matrix.conversation import PNG, PROMPT, RESULTS, SCHEMA, SYSTEM, TOOLS, Answer, Heard, Options
from tests.matrix.house import CLIENTS, House, open_house
from tests.matrix.parts import FEATURES, PARTS, Part

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS: Final = {
    "tools": Options(tools=True),
    "image": Options(image=True),
    "stop": Options(stop=("answer", "\n\nHuman:")),
    "schema": Options(schema=True),
    "length": Options(limit=5),
}
Thoughts: TypeAlias = tuple[tuple[str, str | None], ...]
"""Each with its signature."""

CELLS: Final = [
    pytest.param(client, kind, feature, id=f"{client}-{kind}-{feature}")
    for client in CLIENTS
    for kind, parts in PARTS.items()
    for feature in FEATURES
    if feature in parts and (client, feature) != ("openai_responses", "stop")
]
"""OpenAI's Responses have no stop sequences, so none can be asked for."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("data")) as house:
        yield house


@pytest.mark.parametrize(("name", "kind", "feature"), CELLS)
async def test_cell(house: House, name: str, kind: str, feature: str) -> None:
    """The client hands out what the upstream said, which was asked what the client asked; or both learn why not."""
    client, part = house.clients[name], PARTS[kind][feature]
    for stream in (True, False) if client.wholes else (True,):
        if part.fails:
            await check_failure(client, f"{kind}/{part.script or feature}", part, stream=stream)
        elif part.field:
            await check_refusal(house, client, f"{kind}/{feature}", part, stream=stream)
        else:
            await check_answer(house, client, kind, feature, stream=stream)


async def check_answer(house: House, client: Client, kind: str, feature: str, *, stream: bool) -> None:
    """One answer, and where there is something to hand back a second that goes on from it."""
    part, options = PARTS[kind][feature], OPTIONS.get(feature, Options())
    turns = [client.user(PROMPT, image=options.image)]
    model = f"{kind}/{part.script or feature}"
    answer = await client.ask(model, turns, options, stream=stream)
    check_meaning(client, part, answer)
    if kind in house.kinds:
        check_question(house.heard(kind), options)
    if feature not in ("tools", "reasoning"):
        return
    more = client.results(answer) if part.calls else [client.user("Go on.")]
    second = await client.ask(model, [*turns, *answer.turns, *more], options, stream=stream)
    assert second.text == PARTS[kind]["text"].text
    if kind in house.kinds:
        check_history(house.heard(kind), part, thoughts_back(client, kind, part))


def check_meaning(client: Client, part: Part, answer: Answer) -> None:
    """Text, reasoning, calls, the end and the usage are those of the upstream."""
    apart = client.tells_refusals
    assert (answer.text, answer.refusal) == ((part.text, part.refusal) if apart else (part.text + part.refusal, ""))
    assert answer.reasoning == part.reasoning
    assert answer.calls == part.calls
    refused = client.name == "anthropic" and part.refusal
    assert answer.finish == ("content_filter" if refused else part.finish)
    assert answer.usage == part.usage


def check_question(heard: Heard, options: Options) -> None:
    """The upstream was asked the same, in its own words."""
    assert (heard.system, heard.users) == (SYSTEM, (PROMPT,))
    assert heard.images == ((PNG,) if options.image else ())
    assert heard.tools == (tuple(TOOLS) if options.tools else ())
    assert heard.stop == options.stop
    assert heard.schema == (SCHEMA if options.schema else None)
    assert options.limit is None or heard.limit == options.limit


def check_history(heard: Heard, part: Part, thoughts: Thoughts) -> None:
    """The upstream was handed back what it had said, and what the tools found, each to its call."""
    assert tuple((name, arguments) for _, name, arguments in heard.calls) == part.calls
    assert [result for _, result in heard.results] == list(RESULTS if part.calls else ())
    assert [call_id for call_id, _, _ in heard.calls] == [call_id for call_id, _ in heard.results]
    assert "".join(heard.said) == part.text
    assert heard.thoughts == thoughts


def thoughts_back(client: Client, kind: str, part: Part) -> Thoughts:
    """The reasoning that goes back: with its proof where both sides know of that, as text to those who want it."""
    if part.signature is not None and client.keeps_signatures:
        redacted = () if part.redacted is None else (("", part.redacted),)
        return ((part.reasoning, part.signature), *redacted)
    same_format = (client.name, kind) in (("openai_chat", "openai"), ("openai_responses", "openai_responses"))
    wanted = part.reasoning and (part.goes_back or same_format) and client.keeps_reasoning
    return ((part.reasoning, None),) if wanted else ()


async def check_failure(client: Client, model: str, part: Part, *, stream: bool) -> None:
    """An answer that fails in the middle raises what the client has for it, with the upstream's own words."""
    with pytest.raises(BrokenError, match=part.fails):
        await client.ask(model, [client.user(PROMPT)], Options(), stream=stream)


async def check_refusal(house: House, client: Client, model: str, part: Part, *, stream: bool) -> None:
    """What an upstream has no word for is a 400 that names it, and nothing is asked."""
    asked, options = house.asked(), OPTIONS[model.rpartition("/")[2]]
    with pytest.raises(RefusedError) as caught:
        await client.ask(model, [client.user(PROMPT)], options, stream=stream)
    field = client.fields.get(part.field, part.field)
    assert caught.value.field == field
    assert field is not None or part.named in str(caught.value)
    assert house.asked() == asked
