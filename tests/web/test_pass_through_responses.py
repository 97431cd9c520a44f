"""OpenAI's Responses before an upstream that speaks them too: all goes through, and is stored and found as ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import openai
import pytest
from tests.gateway import gateway
from tests.providers.reading import recorded
from tests.reader import Reader
from tests.tap import Tap
from tests.upstream import Script, Step, answer, chunk, chunked_head
from tests.vendor import as_payloads, response_events, write_events
from tests.waiting import eventually
from tests.web.relayed import adopted, ask, data_of, events_of, name_of, recording, relaying, respond, sent_to
from tests.web.responding import ALL, error_of, read
from tests.web.test_pass_through import figures

from tailrace.settings import ModelSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

EVENTS: Final = response_events()
PAYLOADS: Final = as_payloads(EVENTS)
RECORDINGS: Final = ("text", "tools", "refusal", "incomplete", "search", "json")


# Bytes


async def test_the_bytes_are_the_upstreams() -> None:
    """With every field and event of the vendor's types the client gets the upstream's data; the response has our id."""
    async with relaying(events_of(write_events(PAYLOADS))) as (house, _):
        told = await ask(house, store=False)
    ours = json.dumps(name_of(told)).encode()
    assert data_of(told) == [payload.replace(b'"resp_theirs"', ours) for payload in PAYLOADS]
    assert [event.event for event in told.events] == [event["type"] for event in EVENTS]
    assert len({event.id for event in told.events}) == len(EVENTS)


async def test_items_that_are_kept_are_named() -> None:
    """Of a stored response items have names of ours, which hold the upstream's; all else is the same, call ids too."""
    async with relaying(recording("tools")) as (house, _):
        told = await ask(house)
    theirs = (recorded("openai_responses_tools.sse")).decode()
    ours = told.body.decode()
    for item in told.objects[-1]["response"]["output"]:
        upstream_id = item["id"].split("_", 2)[2]
        assert item["id"] == adopted(told, upstream_id)
        assert ours.count(f'"{item["id"]}"') == theirs.count(f'"{upstream_id}"')
        ours = ours.replace(item["id"], upstream_id)
    events = [json.loads(line[6:]) for line in ours.split("\n") if line.startswith("data: ")]
    expected = [json.loads(line[6:]) for line in theirs.split("\n") if line.startswith("data: ")]
    for event, plain in zip(events, expected, strict=True):
        if "response" in event:
            plain["response"] |= {"id": name_of(told), "store": True}
        assert event == plain


async def test_numbers_without_a_gap() -> None:
    """Where an upstream's numbers are missing, or begin elsewhere, the events have ours."""
    for numbers in (response_events(numbers=5), [{**event, "sequence_number": None} for event in EVENTS]):
        async with relaying(events_of(write_events(as_payloads(numbers)))) as (house, _):
            told = await ask(house, store=False)
        assert [event["sequence_number"] for event in told.objects] == list(range(len(EVENTS)))
        assert [event["type"] for event in told.objects] == [event["type"] for event in EVENTS]


async def test_reads_of_any_size() -> None:
    """Events pass one by one, however the upstream's bytes are cut."""
    body = write_events(PAYLOADS)
    pieces = [chunk(body[at : at + 777]) for at in range(0, len(body), 777)]
    async with relaying([chunked_head(), *pieces, chunk(b"")]) as (house, _):
        told = await ask(house, store=False)
    assert [event["type"] for event in told.objects] == [event["type"] for event in EVENTS]


# Read on, read again


async def test_reading_on() -> None:
    """After any event a client gets exactly the rest: by its id on either route, and by its number."""
    async with relaying(recording("tools")) as (house, upstream):
        told = await ask(house)
        for number, event in enumerate(told.events[:-1]):
            rest = told.events[number + 1 :]
            cursor = {"last-event-id": event.id}
            assert (await house.ask("POST", ALL, {"input": "Hi"}, headers=cursor)).events == rest
            assert (await read(house, name_of(told), f"?stream=true&starting_after={number}")).events == rest
        assert (await read(house, name_of(told), "?stream=true")).events == told.events
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", RECORDINGS)
async def test_whole_and_read_again(name: str) -> None:
    """A response asked for whole is what the upstream's last event says, and is the same when it is retrieved."""
    async with relaying(recording(name)) as (house, upstream):
        told = await house.ask("POST", ALL, {"input": "Hi"})
        assert sent_to(upstream)["stream"] is True
        whole = told.json()
        assert (await read(house, whole["id"])).json() == whole
        streamed = (await read(house, whole["id"], "?stream=true")).objects
    assert streamed[-1]["response"] == whole
    assert whole["id"] == name_of(told)


async def test_a_document_in_place_of_a_stream() -> None:
    """An upstream that does not stream is asked all the same: its document has our names, and is found again."""
    document = answer(recorded("openai_responses_whole.json"), content_type="application/json")
    async with relaying([document]) as (house, _):
        whole = await respond(house)
        assert (await read(house, whole["id"])).json() == whole
        assert (await ask(house)).objects[-1]["type"] == "response.completed"
    theirs = json.loads(recorded("openai_responses_whole.json"))
    assert whole["id"].startswith("resp_")
    assert [item["type"] for item in whole["output"]] == [item["type"] for item in theirs["output"]]


async def test_while_it_runs() -> None:
    """What is read of a response meanwhile is as far as the upstream's events go, in its own words."""
    gate = asyncio.Event()
    first, rest = recorded("openai_responses_text.sse").split(b"event: response.output_text.done", 1)
    script: Script = [chunked_head(), chunk(first), gate, chunk(b"event: response.output_text.done" + rest), chunk(b"")]
    async with relaying(script) as (house, _), Reader(house.url) as reader:
        await reader.ask("POST", ALL, {"input": "Hi", "stream": True})
        begun = (await reader.until(b"output_text.delta")).objects[0]["response"]
        half = (await eventually(lambda: read(house, begun["id"]), lambda told: b"slowly" in told.body)).json()
        assert (half["status"], half["output"][0]["status"]) == ("in_progress", "in_progress")
        assert half["output"][0]["content"][0]["text"] == "Wheels turn — “slowly”, 水車 🌊.\n"
        gate.set()
        done = (await reader.whole()).objects[-1]["response"]
    assert [item["id"] for item in done["output"]] == [item["id"] for item in half["output"]]


# The request


async def test_the_request_is_the_clients() -> None:
    """Fields and items that nobody here knows reach the upstream as they are; what is ours stays here."""
    fields: dict[str, Any] = {
        "top_logprobs": 2,
        "include": ["message.output_text.logprobs"],
        "tools": [{"type": "web_search", "filters": {"a": [1.5]}}, {"type": "custom", "name": "c"}],
        "tool_choice": {"type": "web_search"},
        "text": {"format": {"type": "text"}, "verbosity": "low", "mood": 1},
        "reasoning": {"effort": "low", "mood": 1},
        "instructions": "Be brief.",
        "metadata": {"k": "v"},
        "vendor": {"a": [1.5]},
        "truncation": "auto",
    }
    items = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a", "mood": 1}, {"type": "input_file", "file_id": "f"}],
        },
        {"type": "an_item_of_tomorrow", "id": "x_1"},
        {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "any"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}], "phase": "final"},
    ]
    ours = {"on_disconnect": 5, "background": False, "stream": True}
    async with relaying(recording("text"), max_tokens=77) as (house, upstream):
        await ask(house, input=items, **fields, **ours)
        included = [*fields.pop("include"), "reasoning.encrypted_content"]
        expected = {"model": "m", "input": items, "max_output_tokens": 77, "include": included, **fields}
        assert sent_to(upstream) == {**expected, "stream": True, "store": False}


async def test_what_another_format_can_not_say() -> None:
    """To an upstream of another format an item that only this one knows is refused by its type, before it is asked."""
    async with gateway(default_model="simulated") as house:
        told = await house.ask("POST", ALL, {"input": [{"type": "local_shell_call", "id": "lsh_1"}]})
        assert error_of(told) == (400, "unsupported_value", "local_shell_call")


# The background, and ends


async def test_the_background() -> None:
    """What was announced is not told of twice, the numbers go on, and the response says what it is."""
    async with relaying(recording("text")) as (house, _):
        told = await ask(house, background=True)
        types = [event["type"] for event in told.objects]
        assert types[:3] == ["response.created", "response.queued", "response.in_progress"]
        assert types.count("response.created") == 1
        assert [event["sequence_number"] for event in told.objects] == list(range(len(types)))
        responses = [event["response"] for event in told.objects if "response" in event]
        assert {(response["background"], response["created_at"]) for response in responses} == {
            (True, responses[0]["created_at"])
        }
        for number in range(len(types)):
            rest = await read(house, responses[0]["id"], f"?stream=true&starting_after={number}")
            assert rest.events == told.events[number + 1 :]
        polled = await respond(house, background=True)
        assert polled["status"] == "queued"
        done = await eventually(lambda: read(house, polled["id"]), lambda told: told.json()["status"] == "completed")
        assert done.json()["output"][0]["status"] == "completed"


async def test_a_cut_upstream() -> None:
    """An upstream that is cut ends in our error, and in a response that has what came, which is not whole."""
    cut = recorded("openai_responses_text.sse").split(b"event: response.output_text.done", 1)[0]
    async with relaying([chunked_head(), chunk(cut), Step.RESET]) as (house, _):
        told = await ask(house)
        error, failed = told.objects[-2:]
        assert (error["type"], error["error"]["code"]) == ("error", "upstream_cut")
        response = failed["response"]
        assert (failed["type"], response["status"], response["id"]) == ("response.failed", "failed", name_of(told))
        assert response["output"][0]["status"] == "incomplete"
        assert response["output"][0]["content"][0]["text"] == "Wheels turn — “slowly”, 水車 🌊.\n"
        assert (await read(house, response["id"])).json() == response
        assert [event["sequence_number"] for event in told.objects] == list(range(len(told.objects)))


async def test_cancelling() -> None:
    """A cancel closes the upstream, and says the same each time."""
    cut = recorded("openai_responses_text.sse").split(b"event: response.output_text.done", 1)[0]
    async with relaying([chunked_head(), chunk(cut), Step.STALL]) as (house, upstream), Reader(house.url) as reader:
        await reader.ask("POST", ALL, {"input": "Hi", "stream": True})
        response_id = (await reader.until(b"output_text.delta")).objects[0]["response"]["id"]
        cancelled = [(await house.ask("POST", f"{ALL}/{response_id}/cancel")).json() for _ in range(2)]
        assert cancelled[0] == cancelled[1] == (await reader.whole()).objects[-1]["response"]
        assert cancelled[0]["status"] == "cancelled"
        await upstream.closed_by(1)


async def test_what_the_upstream_says_of_a_failure() -> None:
    """A response that fails ends in an error with the vendor's words."""
    async with relaying(recording("failed")) as (house, _):
        told = await ask(house)
    assert [event["type"] for event in told.objects[-2:]] == ["error", "response.failed"]
    assert "failed to generate" in told.objects[-1]["response"]["error"]["message"]


# What is known of it


@pytest.mark.parametrize("name", RECORDINGS)
async def test_the_figures_are_the_same(name: str) -> None:
    """The same answer costs the same, and is delivered the same, whether it passes through or is written anew."""
    async with relaying(recording(name)) as (house, _):
        await ask(house)
        await house.ask("POST", "/v1/chat/stream", {"message": "Hi"})
        through, anew = await house.settled(2)
    assert figures(through) == figures(anew)


async def test_in_any_format() -> None:
    """A reader of another format gets the text, and a conversation keeps it."""
    async with relaying(recording("search")) as (house, _):
        told = await ask(house, conversation="talk")
        accept = {"accept": "text/event-stream"}
        stream_id = told.headers["x-tailrace-stream"]
        delta = await house.ask("GET", f"/v1/streams/{stream_id}?format=delta", headers=accept)
        whole = told.objects[-1]["response"]
        assert delta.text == whole["output"][-1]["content"][0]["text"]
        kept = (await house.ask("GET", "/v1/sessions/talk")).json()["messages"]
    assert [message["content"] for message in kept] == ["Hi", delta.text]


async def test_a_fallback_of_another_format() -> None:
    """What the first upstream opened with is forgotten when it fails before any content; the other's answer is ours."""
    opening = recorded("openai_responses_text.sse").split(b"event: response.output_text.delta", 1)[0]
    entry = ModelSettings(provider="up", model="m", fallback=("tap",))
    script: Script = [chunked_head(), chunk(opening), Step.RESET]
    tap = Tap()
    async with (
        relaying(script, tap=tap, models={"both": entry}, model="both") as (house, _),
        Reader(house.url) as reader,
    ):
        await reader.ask("POST", ALL, {"input": "Hi", "stream": True})
        run = await tap.asked()
        run.say("Hi")
        run.finish()
        told = await reader.whole()
    assert b"67ccd2be" not in told.body
    assert [event["sequence_number"] for event in told.objects] == list(range(len(told.objects)))
    assert told.objects[-1]["response"]["output"][0]["content"][0]["text"] == "Hi"


# OpenAI's own client


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        relaying(recording("tools")) as (house, _),
        openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="any text", max_retries=0) as client,
    ):
        yield client


async def test_the_official_client(client: openai.AsyncOpenAI) -> None:
    """It streams, asks for the whole, and finds both again, with the same output."""
    async with client.responses.stream(model="up/m", input="Hi") as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    assert kinds[0] == "response.created"
    found = await client.responses.retrieve(streamed.id)
    assert [item.to_dict()["id"] for item in found.output] == [item.to_dict()["id"] for item in streamed.output]
    again = [event async for event in await client.responses.retrieve(streamed.id, stream=True, starting_after=2)]
    assert [event.sequence_number for event in again] == list(range(3, len(kinds)))
    whole = await client.responses.create(model="up/m", input="Hi")
    assert (await client.responses.retrieve(whole.id)).output == whole.output
    assert [item.type for item in whole.output] == [item.type for item in streamed.output]
