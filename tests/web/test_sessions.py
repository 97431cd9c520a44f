"""Conversations that are kept: what goes in, what is kept of it, whose they are, and one answer at a time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from tests.gateway import STREAM, WHOLE, Gateway, gateway, refusal
from tests.reader import Reader
from tests.tap import Tap
from tests.waiting import until

from tailrace.errors import UpstreamError
from tailrace.events import ToolCallDelta, ToolCallStarted
from tailrace.requests import ToolCall, ToolResult
from tailrace.settings import SessionSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

HI: Final = {"message": "Hi"}


async def messages_of(house: Gateway, session_id: str = "s", **asked: Any) -> list[dict[str, Any]]:
    """A session's messages as the endpoint shows them."""
    answer = await house.ask("GET", f"/v1/sessions/{session_id}", **asked)
    assert answer.status == 200, answer.body
    assert answer.json()["id"] == session_id
    return list(answer.json()["messages"])


def spoken(house: Gateway, number: int = -1) -> list[tuple[str, str]]:
    """What the upstream was asked: each message's role and text."""
    return [(message.role, message.text) for message in house.tap.runs[number].request.messages]


# What goes in and what is kept


@pytest.mark.parametrize("target", [STREAM, WHOLE])
async def test_a_conversation_goes_on(target: str) -> None:
    """With a session the client sends its new turn alone; the upstream is asked with all that was said."""
    async with gateway() as house:
        await house.say("Hel", "lo!", target=target, session_id="s", message="Hi")
        await house.say("Fine.", target=target, session_id="s", message="How are you?")
        assert spoken(house) == [("user", "Hi"), ("assistant", "Hello!"), ("user", "How are you?")]
        kept = await messages_of(house)
        assert [(turn["role"], turn["content"], turn["status"]) for turn in kept] == [
            ("user", "Hi", "whole"),
            ("assistant", "Hello!", "whole"),
            ("user", "How are you?", "whole"),
            ("assistant", "Fine.", "whole"),
        ]
        rows = await house.settled(2)
        assert [turn.get("generation_id") for turn in kept] == [None, rows[0].id, None, rows[1].id]
        assert len({turn["id"] for turn in kept}) == 4
        assert all(turn["id"].startswith("msg_") for turn in kept)
        assert sorted(turn["created_at"] for turn in kept) == [turn["created_at"] for turn in kept]


async def test_without_a_session_nothing_is_kept() -> None:
    """A request without `session_id` is asked as it is, and no conversation begins."""
    async with gateway() as house:
        for _ in range(2):
            await house.say("Hello")
        assert spoken(house) == [("user", "Hi")]
        assert (await house.ask("GET", "/v1/sessions")).json() == {"data": [], "next_cursor": None}
        assert house.execute("SELECT count(*) FROM turns") == [(0,)]


async def test_an_event_source_has_sessions() -> None:
    """`?session_id=` on a GET continues a conversation too."""
    async with gateway() as house:
        await house.say("Hello", session_id="s")
        async with Reader(house.url) as reader:
            await reader.ask("GET", "/v1/chat?message=Ho&session_id=s")
            run = await house.tap.asked(2)
            run.finish()
            await reader.whole()
        assert spoken(house) == [("user", "Hi"), ("assistant", "Hello"), ("user", "Ho")]


async def test_the_question_is_kept_before_it_is_asked() -> None:
    """The user's message is in the session while the upstream thinks, and stays when it then fails."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        assert [turn["content"] for turn in await messages_of(house)] == ["Hi"]
        run.fail(UpstreamError("upstream_error", "no"))
        assert (await reader.whole()).status == 502
        assert [turn["content"] for turn in await messages_of(house)] == ["Hi"]
        await house.say("Hello", session_id="s", message="Again?")
        assert spoken(house) == [("user", "Hi"), ("user", "Again?")]


@pytest.mark.parametrize("end", ["cut", "left", "cancelled"])
async def test_a_partial_answer_is_kept_and_marked(end: str) -> None:
    """What was said before a cut, a departure or a cancel is in the session, as partial, and goes in next time."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        run.say("Hel")
        await reader.until(b"Hel")
        if end == "cut":
            run.fail(UpstreamError("upstream_cut", "cut"))
        elif end == "left":
            reader.leave()
        else:
            (generation,) = house.tailrace.generations.running()
            await house.ask("POST", f"/v1/streams/{generation.id}/cancel")
        await house.settled()
        kept = (await messages_of(house))[-1]
        assert (kept["role"], kept["content"], kept["status"]) == ("assistant", "Hel", "partial")
        await house.say("Hello", session_id="s", message="Go on.")
        assert spoken(house) == [("user", "Hi"), ("assistant", "Hel"), ("user", "Go on.")]


async def test_the_latest_system_prompt_holds() -> None:
    """A system prompt holds until another is sent, comes first, and is sent once."""
    async with gateway() as house:
        for system in ("Be brief.", None, "Be long.", None):
            said: dict[str, Any] = {} if system is None else {"system": system}
            await house.say("x", session_id="s", **said)
        prompts = [[text for role, text in spoken(house, number) if role == "system"] for number in range(4)]
        assert prompts == [["Be brief."], ["Be brief."], ["Be long."], ["Be long."]]
        assert all(spoken(house, number)[0][0] == "system" for number in range(4))


async def test_tool_calls_go_on() -> None:
    """A call that the model made is in the history when the client sends its result alone."""
    async with gateway() as house:
        tools = [{"type": "function", "function": {"name": "level"}}]
        model = "simulated/n5-d0-t1"
        first = await house.ask("POST", WHOLE, {**HI, "model": model, "tools": tools, "session_id": "s"})
        (call,) = first.json()["tool_calls"]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "42"}
        await house.say("So 42.", session_id="s", messages=[result], tools=tools)
        sent = house.tap.runs[0].request.messages
        assert [message.role for message in sent] == ["user", "assistant", "tool"]
        assert [part.id for part in sent[1].parts if isinstance(part, ToolCall)] == [call["id"]]
        assert [part.id for part in sent[2].parts if isinstance(part, ToolResult)] == [call["id"]]
        shown = (await messages_of(house))[1]["content"]
        assert {"type": "tool_call", "id": call["id"], "name": "level", "arguments": call["arguments"]} in shown


async def test_a_cut_call_does_not_spoil_a_conversation() -> None:
    """A tool call that broke off is kept to be seen and never sent on: no upstream would take it."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        run.say("Look", ToolCallStarted(call=0, id="c", name="f"), ToolCallDelta(call=0, arguments='{"a'))
        run.fail(UpstreamError("upstream_cut", "cut"))
        await reader.whole()
        await house.say("x", session_id="s")
        assert [message.role for message in house.tap.runs[1].request.messages] == ["user", "assistant", "user"]
        assert spoken(house)[1] == ("assistant", "Look")
        assert [len(message.parts) for message in house.tap.runs[1].request.messages] == [1, 1, 1]
        assert (await messages_of(house))[1]["content"][1]["arguments"] == '{"a'


async def test_history_is_capped() -> None:
    """`[sessions] history_tokens` leaves the oldest turns out of what is asked, and none out of what is kept."""
    async with gateway(sessions=SessionSettings(history_tokens=60)) as house:
        for number in range(8):
            await house.say(
                "word " * 10, session_id="s", message=f"number {number} " + "word " * 10, system="Be brief."
            )
        sent = spoken(house)
        assert sent[0] == ("system", "Be brief.")
        assert [role for role, _ in sent[1:]] == ["user", "assistant", "user"]
        assert [text.split()[1] for role, text in sent if role == "user"] == ["6", "7"]
        assert len(await messages_of(house)) == 8 * 3


# From where it goes on


async def test_a_message_is_edited() -> None:
    """`after` drops what follows the message that it names, in what is kept and in what is asked."""
    async with gateway() as house:
        for number in range(3):
            await house.say(f"answer {number}", session_id="s", message=f"question {number}")
        kept = await messages_of(house)
        await house.say("answer 1b", session_id="s", message="question 1b", after=kept[1]["id"])
        assert [text for _, text in spoken(house)] == ["question 0", "answer 0", "question 1b"]
        now = await messages_of(house)
        assert [turn["content"] for turn in now] == ["question 0", "answer 0", "question 1b", "answer 1b"]
        assert [turn["id"] for turn in now[:2]] == [turn["id"] for turn in kept[:2]]


async def test_an_answer_is_made_anew() -> None:
    """`after` a user's message, and no new one, asks it again: the first of all too."""
    async with gateway() as house:
        await house.say("one", session_id="s")
        question = (await messages_of(house))[0]
        again = await house.say("two", session_id="s", after=question["id"])
        assert (again.status, spoken(house)) == (200, [("user", "Hi")])
        assert [turn["content"] for turn in await messages_of(house)] == ["Hi", "two"]


@pytest.mark.parametrize("session", ["s", "none"])
async def test_an_unknown_message(session: str) -> None:
    """An `after` that names no message of the session is 404, changes nothing and asks nothing."""
    async with gateway() as house:
        await house.say("Hello", session_id="s")
        body = {**HI, "session_id": session, "after": "msg_none"}
        answer = await house.ask("POST", STREAM, body)
        assert (refusal(answer), answer.json()["field"]) == ((404, "message_not_found"), "after")
        assert len(await messages_of(house)) == 2
        assert len(house.tap.runs) == 1
        assert refusal(await house.ask("GET", "/v1/sessions/none")) == (404, "session_not_found")


@pytest.mark.parametrize("body", [{**HI, "after": "msg_1"}, {"after": "msg_1"}, {"session_id": "s"}])
async def test_what_makes_no_sense(body: dict[str, str]) -> None:
    """`after` without a session, and a session without anything to ask, are 422."""
    async with gateway() as house:
        assert refusal(await house.ask("POST", STREAM, body)) == (422, "invalid_field")


# One answer at a time


async def test_a_session_answers_once_at_a_time() -> None:
    """While a session has a running generation another request is 409 and names it; other sessions are free."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        running = house.tailrace.generations.running()[0].id
        answer = await house.ask("POST", STREAM, {**HI, "session_id": "s"})
        assert refusal(answer) == (409, "session_busy")
        assert answer.headers["x-tailrace-stream"] == running
        assert running in answer.json()["detail"]
        assert (await house.ask("POST", WHOLE, {**HI, "model": "simulated/n1-d0", "session_id": "t"})).status == 200
        assert [turn["content"] for turn in await messages_of(house)] == ["Hi"]
        run.finish()
        assert (await reader.whole()).status == 200


@pytest.mark.parametrize("target", [STREAM, WHOLE])
async def test_who_reads_the_end_may_go_on(target: str) -> None:
    """The next request right after an answer's end is never 409, and finds the whole answer in the history."""
    async with gateway() as house, Reader(house.url) as reader:
        for number in range(40):
            run = await house.begin(reader, target=target, session_id="s", message=f"q{number}")
            assert len(run.request.messages) == 2 * number + 1
            run.say(f"a{number}")
            run.finish()
            assert (await reader.whole()).status == 200


async def test_who_was_failed_may_go_on() -> None:
    """Nor is it after a failure."""
    tap = Tap(*(UpstreamError("upstream_error", "busy") for _ in range(30)))
    async with gateway(tap=tap) as house:
        for _ in range(30):
            assert (await house.ask("POST", STREAM, {**HI, "session_id": "s"})).status == 502


async def test_of_two_at_once_one_is_answered() -> None:
    """Of requests that come in together one is answered and the others are 409; each message is kept once."""
    async with gateway() as house:
        asking = [asyncio.create_task(house.ask("POST", STREAM, {**HI, "session_id": "s"})) for _ in range(10)]
        run = await house.tap.asked()
        await until(lambda: sum(task.done() for task in asking) == 9)
        run.finish()
        statuses = sorted([answer.status for answer in await asyncio.gather(*asking)])
        assert statuses == [200] + [409] * 9
        assert len(await messages_of(house)) == 1


# Whose they are


async def test_a_session_is_its_key_s_and_its_user_s_own() -> None:
    """Another key, another user, and an admin see nothing of it, and may use its id for one of their own."""
    async with gateway() as house:
        one, other, admin = await house.key(), await house.key(), await house.key(admin=True)
        ada, bob = [await house.token(one, user=user) for user in ("ada", "bob")]
        await house.say("for ada", key=ada, session_id="s")
        for stranger in (one, other, admin, bob):
            for method in ("GET", "DELETE"):
                answer = await house.ask(method, "/v1/sessions/s", headers=stranger)
                assert refusal(answer) == (404, "session_not_found")
            assert (await house.ask("GET", "/v1/sessions", headers=stranger)).json()["data"] == []
        await house.say("for bob", key=bob, session_id="s")
        assert spoken(house) == [("user", "Hi")]
        assert [turn["content"] for turn in await messages_of(house, headers=ada)] == ["Hi", "for ada"]
        assert [turn["content"] for turn in await messages_of(house, headers=bob)] == ["Hi", "for bob"]


async def test_a_token_for_one_session() -> None:
    """A token that is bound to a session chats in it without naming it, and sees no other of its own user."""
    async with gateway() as house:
        key = await house.key()
        await house.say("x", key=key, session_id="mine")
        for number in range(3):
            await house.say("x", key=key, session_id=f"other {number}")
        token = await house.token(key, session_id="mine")
        await house.say("y", key=token)
        assert [turn["content"] for turn in await messages_of(house, "mine", headers=token)] == ["Hi", "x", "Hi", "y"]
        body = {**HI, "session_id": "other 1"}
        assert refusal(await house.ask("POST", STREAM, body, headers=token)) == (403, "token_session")
        for method in ("GET", "DELETE"):
            answer = await house.ask(method, "/v1/sessions/other%201", headers=token)
            assert refusal(answer) == (404, "session_not_found")
        listed = (await house.ask("GET", "/v1/sessions?limit=1", headers=token)).json()
        assert ([session["id"] for session in listed["data"]], listed["next_cursor"]) == (["mine"], None)
        assert (await house.ask("DELETE", "/v1/sessions/mine", headers=token)).status == 204
        assert (await house.ask("GET", "/v1/sessions", headers=token)).json()["data"] == []


# The list


async def test_the_list_is_read_page_by_page() -> None:
    """Sessions are listed with their titles, the last used first; a cursor leads to the next page, null to none."""
    async with gateway() as house:
        for number in (1, 2, 3, 1):
            await house.say("x", session_id=f"s{number}", message=f"About {number}, and " + "much more " * 20)
        first = (await house.ask("GET", "/v1/sessions?limit=2")).json()
        assert [session["id"] for session in first["data"]] == ["s1", "s3"]
        assert set(first["data"][0]) == {"id", "title", "created_at", "updated_at"}
        assert first["data"][0]["title"].startswith("About 1, and much more")
        assert len(first["data"][0]["title"]) <= 60
        assert first["data"][0]["created_at"] < first["data"][0]["updated_at"]
        second = (await house.ask("GET", f"/v1/sessions?limit=2&cursor={first['next_cursor']}")).json()
        assert ([session["id"] for session in second["data"]], second["next_cursor"]) == (["s2"], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=%D9%A3"])
async def test_a_limit_that_is_none(query: str) -> None:
    """A limit that is no number from 1 to 500 is 422 and named."""
    async with gateway() as house:
        answer = await house.ask("GET", f"/v1/sessions?{query}")
        assert refusal(answer) == (422, "invalid_field")
        assert answer.json()["detail"].startswith("limit must be 1 to 500")


async def test_a_cursor_that_is_none() -> None:
    """A cursor that nobody gave is 400."""
    async with gateway() as house:
        assert (await house.ask("GET", "/v1/sessions?cursor=nonsense")).status == 400


# The end of one


async def test_a_session_is_forgotten() -> None:
    """After DELETE a session is 404, its turns are gone from the database, its usage rows stay, its id begins anew."""
    async with gateway() as house:
        await house.say("Hello", session_id="s")
        assert (await house.ask("DELETE", "/v1/sessions/s")).status == 204
        for method in ("GET", "DELETE"):
            assert refusal(await house.ask(method, "/v1/sessions/s")) == (404, "session_not_found")
        assert house.execute("SELECT count(*) FROM turns") == [(0,)]
        assert (await house.settled_row()).session_id == "s"
        await house.say("Hello", session_id="s")
        assert spoken(house) == [("user", "Hi")]


async def test_a_session_is_forgotten_while_it_answers() -> None:
    """The answer that is being made goes on to its reader and is not kept; the id is free when it has ended."""
    async with gateway() as house, Reader(house.url) as reader:
        run = await house.begin(reader, session_id="s")
        run.say("Hel")
        await reader.until(b"Hel")
        assert (await house.ask("DELETE", "/v1/sessions/s")).status == 204
        assert refusal(await house.ask("POST", STREAM, {**HI, "session_id": "s"})) == (409, "session_busy")
        run.say("lo")
        run.finish()
        assert (await reader.whole()).text == "Hello"
        assert refusal(await house.ask("GET", "/v1/sessions/s")) == (404, "session_not_found")
        await house.say("x", session_id="s")
        assert spoken(house) == [("user", "Hi")]
