"""Asks a gateway for responses, and for what is stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tests.gateway import Gateway
from tests.reader import Answer, Reader
from tests.tap import Run

from tailrace.events import Event, ToolCallDelta, ToolCallStarted
from tailrace.requests import Message, Text, ToolCall

ALL: Final = "/v1/responses"
NOBODY: Final[dict[str, str]] = {}
LOOK: Final[list[Event]] = [
    ToolCallStarted(call=0, id="c1", name="look"),
    ToolCallDelta(call=0, arguments="{}"),
]
CALLED: Final = ToolCall(id="c1", name="look", arguments="{}")


def said(text: str) -> Message:
    return Message(role="assistant", parts=(Text(text=text),))


def error_of(answer: Answer) -> tuple[int, Any, Any]:
    """A refusal's status, code and place, from OpenAI's error object."""
    error = answer.json()["error"]
    return answer.status, error["code"], error["param"]


async def begin(house: Gateway, reader: Reader, *, key: dict[str, str] = NOBODY, **body: Any) -> Run:
    """Ask for a response; the run that is to make it."""
    asked = len(house.tap.runs)
    await reader.ask("POST", ALL, {"input": "Hi", **body}, headers=key)
    return await house.tap.asked(asked + 1)


async def respond(house: Gateway, *pieces: str | Event, key: dict[str, str] = NOBODY, **body: Any) -> Any:
    """One whole response, made of these pieces."""
    async with Reader(house.url) as reader:
        run = await begin(house, reader, key=key, **body)
        run.say(*pieces)
        run.finish()
        answer = await reader.whole()
    assert answer.status == 200, answer.body
    return answer.json()


async def read(house: Gateway, response_id: str, query: str = "", *, key: dict[str, str] = NOBODY) -> Answer:
    return await house.ask("GET", f"{ALL}/{response_id}{query}", headers=key)


def conversation(house: Gateway) -> tuple[Message, ...]:
    """What the upstream was asked last, in tailrace's own words alone."""
    return without_verbatim(house.tap.runs[-1].request.messages)


def without_verbatim(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(msgspec.structs.replace(message, verbatim=None) for message in messages)
