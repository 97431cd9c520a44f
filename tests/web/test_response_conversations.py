"""Each stored response leads to the conversation up to itself, and any may be gone on from."""

from __future__ import annotations

import pytest
from tests.gateway import gateway
from tests.reader import Reader
from tests.web.responding import ALL, CALLED, LOOK, begin, conversation, error_of, read, respond, said

from tailrace.errors import UpstreamError
from tailrace.events import ReasoningDelta
from tailrace.requests import Message, Reasoning, Text, ToolResult, user_message

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_conversation_of_three_turns_and_a_branch() -> None:
    """Each response leads to the conversation up to itself, however often it is gone on from."""
    async with gateway() as house:
        first = await respond(house, "1", input="a")
        second = await respond(house, "2", input="b", previous_response_id=first["id"])
        third = await respond(house, "3", input="c", previous_response_id=second["id"])
        begun = (user_message("a"), said("1"))
        assert conversation(house) == (*begun, user_message("b"), said("2"), user_message("c"))
        await respond(house, "4", input="d", previous_response_id=first["id"])
        assert conversation(house) == (*begun, user_message("d"))
        await respond(house, "5", input="e", previous_response_id=third["id"])
        assert conversation(house)[-3:] == (user_message("c"), said("3"), user_message("e"))
        assert len(conversation(house)) == 7
        assert third["previous_response_id"] == second["id"]


async def test_branches_grow_at_the_same_time() -> None:
    """Two responses that go on from the same one run side by side, and neither sees the other."""
    async with gateway() as house, Reader(house.url) as one, Reader(house.url) as other:
        first = await respond(house, "1", input="a")
        left = await begin(house, one, input="left", previous_response_id=first["id"])
        right = await begin(house, other, input="right", previous_response_id=first["id"])
        for run, reader, text in ((right, other, "R"), (left, one, "L")):
            run.say(text)
            run.finish()
            branch = (await reader.whole()).json()
            await respond(house, "!", input="on", previous_response_id=branch["id"])
            told = {"L": "left", "R": "right"}[text]
            assert conversation(house)[2:] == (user_message(told), said(text), user_message("on"))


async def test_instructions_hold_once() -> None:
    """Instructions stand before the whole conversation, and are not carried over; a system turn in it is."""
    async with gateway() as house:
        turns = [{"role": "developer", "content": "D"}, {"role": "user", "content": "a"}]
        first = await respond(house, "1", input=turns, instructions="I")
        system = tuple(Message(role="system", parts=(Text(text=text),)) for text in "IDJ")
        assert conversation(house) == (system[0], system[1], user_message("a"))
        await respond(house, "2", input="b", previous_response_id=first["id"])
        assert conversation(house)[0] == system[1]
        await respond(house, "2", input="b", previous_response_id=first["id"], instructions="J")
        assert conversation(house)[:2] == (system[2], system[1])


async def test_tools_are_answered_in_the_next_response() -> None:
    """The call stands in the response before, its output in this one; an output without a call is refused."""
    output = {"type": "function_call_output", "call_id": "c1", "output": "Seen."}
    async with gateway() as house:
        thought = ReasoningDelta(text="Hm.", signature="sig")
        first = await respond(house, thought, "Wait.", *LOOK, input="a")
        await respond(house, "Done.", input=[output], previous_response_id=first["id"])
        called = (Reasoning(text="Hm.", signature="sig"), Text(text="Wait."), CALLED)
        assert conversation(house)[1:] == (
            Message(role="assistant", parts=called),
            Message(role="tool", parts=(ToolResult(id="c1", content=(Text(text="Seen."),)),)),
        )
        stray = await house.ask("POST", ALL, {"input": [output]})
        assert error_of(stray) == (400, "invalid_value", "input[0].call_id")
        forgotten = await house.ask("POST", ALL, {"input": "b", "previous_response_id": first["id"]})
        assert error_of(forgotten) == (400, "invalid_value", "input")
        assert len(house.tap.runs) == 2


async def test_an_answer_that_was_cut_is_gone_on_from() -> None:
    """What it came to is part of the conversation; a call in it that nobody answered is not."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await begin(house, reader, input="a", stream=True)
        run.say("Hel", *LOOK)
        run.fail(UpstreamError("upstream_cut", "cut"))
        answer = await reader.whole()
        failed = answer.objects[-1]["response"]
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
        await respond(house, "lo", input="b", previous_response_id=failed["id"])
        assert conversation(house) == (user_message("a"), said("Hel"), user_message("b"))


async def test_going_on_without_a_new_turn() -> None:
    """A response may go on from another with nothing new said."""
    async with gateway() as house:
        first = await respond(house, "1", input="a")
        second = await respond(house, "2", input=None, previous_response_id=first["id"])
        await respond(house, "3", input="b", previous_response_id=second["id"])
        assert conversation(house) == (user_message("a"), said("1"), said("2"), user_message("b"))


async def test_items_are_referred_to() -> None:
    """The id of any output item stands for the item, in any later request; an unknown one is not found."""
    async with gateway() as house:
        first = await respond(house, ReasoningDelta(text="Hm.", signature="s"), "A", *LOOK, "B", input="a")
        items = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
        output = {"type": "function_call_output", "call_id": "c1", "output": "Seen."}
        await respond(house, "!", input=[{"role": "user", "content": "a"}, *items, output])
        parts = (Reasoning(text="Hm.", signature="s"), Text(text="A"), CALLED, Text(text="B"))
        assert conversation(house)[1] == Message(role="assistant", parts=parts)
        for unknown in ("msg_1", items[0]["id"][:-4] + "00ff", f"rs_{'0' * 28}"):
            answer = await house.ask("POST", ALL, {"input": [{"type": "item_reference", "id": unknown}]})
            assert error_of(answer) == (404, "item_not_found", "input[0]")


async def test_a_conversation_is_a_session() -> None:
    """With a conversation's id the turns are a session's: it is listed, read, and needs no earlier response."""
    async with gateway() as house:
        first = await respond(house, "1", input="a", conversation="talk")
        second = await respond(house, "2", input="b", conversation={"id": "talk"})
        assert conversation(house) == (user_message("a"), said("1"), user_message("b"))
        assert (first["conversation"], second["conversation"]) == ({"id": "talk"}, {"id": "talk"})
        assert (await read(house, first["id"])).json() == first
        kept = (await house.ask("GET", "/v1/sessions/talk")).json()["messages"]
        assert [message["content"] for message in kept] == ["a", "1", "b", "2"]
        deleted = await house.ask("DELETE", f"{ALL}/{first['id']}")
        assert error_of(deleted)[:2] == (400, "in_conversation")
        onward = await house.ask("POST", ALL, {"input": "c", "previous_response_id": first["id"]})
        assert error_of(onward)[:2] == (400, "previous_response_not_found")


async def test_stored_responses_are_no_listed_sessions() -> None:
    """The list of conversations holds those that were named, and none for each stored response."""
    async with gateway() as house:
        await respond(house, "1", input="a")
        await respond(house, "1", input="a", conversation="talk")
        listed = (await house.ask("GET", "/v1/sessions")).json()["data"]
        assert [session["id"] for session in listed] == ["talk"]
