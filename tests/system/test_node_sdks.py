"""OpenAI's and Anthropic's own clients for Node: each is given an address and a key, and nothing else is changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from tests.dialects.ai_sdk.sdk import SDK, running_sdk
from tests.providers.reading import recorded
from tests.server import running_server
from tests.system.messages import CLAUDE, OPENAI, says
from tests.system.stage import Stage
from tests.system.voices import REPORTED, AnthropicVoice, OpenAIVoice
from tests.upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT: Final = OpenAIVoice()
CLAUDES: Final = AnthropicVoice()
THINKING: Final = "simulated/n12-d1-r4-t2"
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION: Final = {"name": "get_weather", "parameters": SCHEMA}
WHEELS: Final = "Wheels turn — “slowly”, 水車 🌊.\n"
CALLED: Final = [("get_weather", {"city": "Bern"}), ("get_time", {"zone": "CET"})]


class Node(msgspec.Struct, frozen=True):
    """Both clients, the server that they ask, and the stage behind it."""

    openai: SDK
    anthropic: SDK
    url: str
    stage: Stage

    async def ask_openai(self, command: str, **options: Any) -> Any:
        """What the client's call came to."""
        return await self.openai.ask(command, baseURL=f"{self.url}/v1", **options)

    async def ask_anthropic(self, command: str, **options: Any) -> Any:
        """The same of Anthropic's."""
        return await self.anthropic.ask(command, baseURL=self.url, **options)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def node() -> AsyncIterator[Node]:
    async with (
        running_sdk("openai.mjs") as of_openai,
        running_sdk("anthropic.mjs") as of_anthropic,
        Stage() as stage,
        running_server(env=stage.env) as server,
    ):
        yield Node(of_openai, of_anthropic, server.url, stage)


def asks(prompt: str) -> list[dict[str, str]]:
    """A conversation of one question."""
    return [{"role": "user", "content": prompt}]


# OpenAI: chat completions


async def test_chat_text_and_usage(node: Node) -> None:
    """A stream's pieces are the whole answer's text, its usage the upstream's, by hand and by the client's helper."""
    node.stage.set("Rivers?", says(recorded("openai_text.sse")))
    body: dict[str, Any] = {"model": OPENAI, "messages": asks("Rivers?")}
    streamed = await node.ask_openai("chat", **body, stream_options={"include_usage": True})
    helped = await node.ask_openai("helper", **body)
    whole = await node.ask_openai("completion", **body)
    assert (streamed["error"], streamed["text"], streamed["finish"]) == (None, WHEELS, "stop")
    assert helped["contents"] == WHEELS
    for completion in (helped["completion"], whole["completion"]):
        assert completion["choices"][0]["message"]["content"] == WHEELS
    for usage in (streamed["usage"], whole["completion"]["usage"]):
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (19, 10)


async def test_chat_calls_and_reasoning(node: Node) -> None:
    """Calls of one answer come in pieces, with ids of their own; reasoning is told apart from the text."""
    node.stage.set("Look twice!", says(recorded("openai_tools.sse")))
    called = await node.ask_openai("chat", model=OPENAI, messages=asks("Look twice!"))
    assert [(call["name"], json.loads(call["arguments"])) for call in called["calls"]] == CALLED
    assert called["finish"] == "tool_calls"
    assert called["pieces"] > len(CALLED)
    thought = await node.ask_openai("chat", model=THINKING, messages=asks("Think!"))
    whole = await node.ask_openai("completion", model=THINKING, messages=asks("Think!"))
    message = whole["completion"]["choices"][0]["message"]
    assert (thought["text"], thought["reasoning"]) == (message["content"], message["reasoning_content"])
    assert len({call["id"] for call in thought["calls"]}) == len(message["tool_calls"]) == 2


async def test_chat_errors(node: Node) -> None:
    """What breaks off in the middle throws, and so does what is refused: the classes that the client has for them."""
    for command in ("chat", "helper"):
        broken = await node.ask_openai(command, model="simulated/n9-d1-x3", messages=asks("Break!"))
        assert "broke off after 3 tokens" in broken["error"]["message"]
    whole = await node.ask_openai("completion", model="simulated/n9-d1-x3", messages=asks("Break!"))
    assert (whole["error"]["class"], whole["error"]["status"]) == ("InternalServerError", 502)
    unknown = await node.ask_openai("chat", model="nope", messages=asks("Hi"))
    assert (unknown["error"]["class"], unknown["error"]["code"]) == ("NotFoundError", "model_not_found")
    limited = await node.ask_openai("chat", model="simulated/e429", messages=asks("Hi"))
    assert limited["error"]["class"] == "RateLimitError"
    empty = await node.ask_openai("completion", model="simulated", messages=[])
    assert (empty["error"]["class"], empty["error"]["param"]) == ("BadRequestError", "messages")


async def test_chat_cancel(node: Node) -> None:
    """A client that aborts its stream closes the upstream's connection."""
    node.stage.set("Leave the chat!", [CHAT.head, CHAT.say("Hel"), Step.STALL])
    left = await node.ask_openai("chat", model=OPENAI, messages=asks("Leave the chat!"), abortOn=True)
    await node.stage.left("Leave the chat!")
    assert left["text"] == "Hel"


# OpenAI: responses


async def test_response_text_and_usage(node: Node) -> None:
    """The helper's events and its final response are the whole response, with the upstream's usage."""
    node.stage.set("Lakes?", [CHAT.head, CHAT.say("They "), CHAT.say("rest."), CHAT.end("stop")])
    streamed = await node.ask_openai("respond", model=OPENAI, input="Lakes?")
    whole = await node.ask_openai("response", model=OPENAI, input="Lakes?")
    assert (streamed["error"], streamed["text"]) == (None, "They rest.")
    assert streamed["numbers"] == list(range(len(streamed["numbers"])))
    for response in (streamed["response"], whole["response"]):
        assert (response["status"], response["output_text"]) == ("completed", "They rest.")
        assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == REPORTED


async def test_response_calls_and_reasoning(node: Node) -> None:
    """Reasoning, text and two calls at once are items of the final response; each piece of an argument is an event."""
    tool = {"type": "function", "strict": False, **FUNCTION}
    found = await node.ask_openai("respond", model=THINKING, input="Look!", tools=[tool])
    assert found["error"] is None
    kinds = [item["type"] for item in found["response"]["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    assert all(json.loads(item["arguments"])["city"] for item in found["response"]["output"][2:])
    assert found["types"].count("response.function_call_arguments.delta") > 2
    assert found["types"].count("response.reasoning_summary_text.delta") == 4


async def test_response_is_read_again(node: Node) -> None:
    """A stored response is streamed again from any of its numbers on."""
    found = await node.ask_openai("respond", model="simulated/n8-d1", input="Again!")
    for number in (0, 5, found["numbers"][-2]):
        rest = await node.ask_openai("retrieve", response=found["response"]["id"], starting_after=number)
        assert rest == {"numbers": found["numbers"][number + 1 :], "error": None}


async def test_response_errors(node: Node) -> None:
    """A response that breaks off throws, streamed and whole; what is refused throws the class that there is for it."""
    broken = await node.ask_openai("respond", model="simulated/n9-d1-x3", input="Break!")
    assert (bool(broken["text"]), "broke off after 3 tokens" in broken["error"]["message"]) == (True, True)
    whole = await node.ask_openai("response", model="simulated/n9-d1-x3", input="Break!")
    assert (whole["error"]["class"], whole["error"]["status"]) == ("InternalServerError", 502)
    unknown = await node.ask_openai("response", model="nope", input="Hi")
    assert (unknown["error"]["class"], unknown["error"]["code"]) == ("NotFoundError", "model_not_found")
    empty = await node.ask_openai("response", model="simulated", input=[])
    assert (empty["error"]["class"], empty["error"]["param"]) == ("BadRequestError", "input")


async def test_response_cancel(node: Node) -> None:
    """A client that aborts its response closes the upstream's connection."""
    node.stage.set("Leave the response!", [CHAT.head, CHAT.say("Hel"), Step.STALL])
    left = await node.ask_openai("respond", model=OPENAI, input="Leave the response!", abortOn=True)
    await node.stage.left("Leave the response!")
    assert left["text"] == "Hel"


# Anthropic: messages


async def test_message_text_and_usage(node: Node) -> None:
    """The helper's text events and its final message are the whole message, with the upstream's usage."""
    node.stage.set(
        "Seas?", [CLAUDES.head, CLAUDES.opening(), CLAUDES.say("They "), CLAUDES.say("ebb."), CLAUDES.end("stop")]
    )
    body: dict[str, Any] = {"model": CLAUDE, "max_tokens": 99, "messages": asks("Seas?")}
    streamed = await node.ask_anthropic("stream", **body)
    whole = await node.ask_anthropic("message", **body)
    told = await node.ask_anthropic("events", **body)
    assert (streamed["error"], streamed["text"]) == (None, "They ebb.")
    for message in (streamed["message"], whole["message"]):
        assert [block["text"] for block in message["content"]] == ["They ebb."]
        assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("end_turn", REPORTED[1])
        assert message["usage"]["input_tokens"] == REPORTED[0]
    assert (told["types"][0], told["types"][-1]) == ("message_start", "message_stop")


async def test_message_calls_and_reasoning(node: Node) -> None:
    """Thinking, text and two calls at once are blocks of the final message; inputs come in pieces."""
    tool = {"name": FUNCTION["name"], "input_schema": SCHEMA}
    body: dict[str, Any] = {"model": THINKING, "max_tokens": 500, "messages": asks("Look!"), "tools": [tool]}
    streamed = await node.ask_anthropic("stream", **body)
    whole = await node.ask_anthropic("message", **body)
    assert streamed["error"] is None
    blocks = streamed["message"]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert streamed["thinking"] == blocks[0]["thinking"] == whole["message"]["content"][0]["thinking"]
    assert [block["input"] for block in blocks[2:]] == [block["input"] for block in whole["message"]["content"][2:]]
    assert streamed["inputs"] > 2


async def test_message_signatures_go_round(node: Node) -> None:
    """A client that appends the final message hands Anthropic its own signature back."""
    node.stage.set("Think first.", says(recorded("anthropic_thinking.sse")))
    node.stage.set("And then?", says(recorded("anthropic_text.sse")))
    body: dict[str, Any] = {"model": CLAUDE, "max_tokens": 99}
    first = await node.ask_anthropic("stream", **body, messages=asks("Think first."))
    answer = {"role": "assistant", "content": first["message"]["content"]}
    second = await node.ask_anthropic("stream", **body, messages=[*asks("Think first."), answer, *asks("And then?")])
    assert second["text"] == "Water falls, 滝 🌊"
    handed_back = json.loads(node.stage.upstream.requests[-1].body)["messages"][1]["content"]
    assert [block.get("signature") or block.get("data") for block in handed_back[:2]] == [
        "EqQBCgIYAhIM1gbcDa9GJwZA2b3h",
        "EmwKAhgBEgy3va3pzix",
    ]


async def test_message_errors(node: Node) -> None:
    """A message that breaks off rejects, streamed and whole; what is refused rejects with the class there is for it."""
    body: dict[str, Any] = {"model": "simulated/n9-d1-x3", "max_tokens": 99, "messages": asks("Break!")}
    broken = await node.ask_anthropic("stream", **body)
    assert (bool(broken["text"]), "broke off after 3 tokens" in broken["error"]["message"]) == (True, True)
    assert "broke off" in (await node.ask_anthropic("events", **body))["error"]["message"]
    whole = await node.ask_anthropic("message", **body)
    assert (whole["error"]["class"], whole["error"]["status"]) == ("InternalServerError", 502)
    unknown = await node.ask_anthropic("message", **{**body, "model": "nope"})
    assert (unknown["error"]["class"], unknown["error"]["type"]) == ("NotFoundError", "not_found_error")
    limited = await node.ask_anthropic("stream", **{**body, "model": "simulated/e429"})
    assert (limited["error"]["class"], limited["error"]["type"]) == ("RateLimitError", "rate_limit_error")
    empty = await node.ask_anthropic("message", **{**body, "messages": []})
    assert (empty["error"]["class"], "messages: " in empty["error"]["message"]) == ("BadRequestError", True)


async def test_message_cancel(node: Node) -> None:
    """A client that aborts its message closes the upstream's connection."""
    node.stage.set("Leave the message!", [CLAUDES.head, CLAUDES.opening(), CLAUDES.say("Hel"), Step.STALL])
    left = await node.ask_anthropic(
        "stream", model=CLAUDE, max_tokens=9, messages=asks("Leave the message!"), abortOn=True
    )
    await node.stage.left("Leave the message!")
    assert (left["text"], left["error"]["class"]) == ("Hel", "APIUserAbortError")


async def test_message_tokens_are_counted(node: Node) -> None:
    """The client's question for a count is answered."""
    assert (await node.ask_anthropic("count", model=CLAUDE, messages=asks("Hi")))["tokens"] > 0
