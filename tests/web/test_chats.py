"""Chats that name themselves: found again by their own callers, from the start, and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import jsonschema
import pytest
from starlette.requests import Request
from tests.reader import Answer, Reader, ask
from tests.server import embed, serving
from tests.tap import Run, Tap
from tests.waiting import until
from tests.web.test_openapi import check, operations

from tailrace import Settings, Tailrace, create_app
from tailrace.settings import OnDisconnect, StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")


class House(NamedTuple):
    """A running server whose callers say who they are in a header."""

    url: str
    tap: Tap
    tailrace: Tailrace

    async def begin(self, reader: Reader, chat: str = "c1", user: str = "ann", **more: Any) -> Run:
        """Ask on this connection; the run that is to make the answer."""
        before = len(self.tap.runs)
        body = {"id": chat, "messages": [asked()], "trigger": "submit-message", **more}
        await reader.ask("POST", "/ai-sdk/chat", body, headers={"x-user": user})
        return await self.tap.asked(before + 1)

    async def ask(self, method: str, target: str, *, user: str = "ann") -> Answer:
        return await ask(self.url, method, f"/ai-sdk/chat/{target}", headers={"x-user": user})


def asked() -> dict[str, Any]:
    """A user's message."""
    return {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}


def name_of(request: Request) -> str | None:
    return request.headers.get("x-user")


@asynccontextmanager
async def served(on_disconnect: OnDisconnect | None = None) -> AsyncIterator[House]:
    tap = Tap()
    settings = Settings(stream=StreamSettings(retries=0), default_model="tap", on_disconnect=on_disconnect)
    tailrace = Tailrace(settings, providers={"tap": tap}, identify=name_of)
    async with serving(embed(tailrace)) as url:
        yield House(url, tap, tailrace)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with served() as house:
        yield house


async def test_answers_are_as_described(house: House) -> None:
    """Streams, whole answers, states and problems are what `/openapi.json` says of them; its body takes real ones."""
    document = create_app().openapi()
    described = operations(document)["post", "/ai-sdk/chat"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(described).validate({"id": "c1", "messages": [asked()], "messageId": None})
    async with Reader(house.url) as reader:
        for stream in (False, True):
            run = await house.begin(reader, stream=stream)
            run.start()
            run.say("Hello")
            run.finish()
            check(document, "post", "/ai-sdk/chat", await reader.whole())
    check(document, "post", "/ai-sdk/chat/{chat_id}/cancel", await house.ask("POST", "c1/cancel"))
    check(document, "post", "/ai-sdk/chat/{chat_id}/cancel", await house.ask("POST", "c2/cancel"))
    refused = await ask(house.url, "POST", "/ai-sdk/chat", {"messages": []}, headers={"x-user": "ann"})
    check(document, "post", "/ai-sdk/chat", refused)


async def test_the_stream_is_marked(house: House) -> None:
    """A stream has the SDK's header; one JSON answer has not, and is a UI message."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader)
        run.start()
        run.say("Hello")
        run.finish()
        answer = await reader.whole()
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.events[-1].data == "[DONE]"
        run = await house.begin(reader, stream=False)
        run.start()
        run.say("Hello")
        run.finish()
        whole = await reader.whole()
    assert "x-vercel-ai-ui-message-stream" not in whole.headers
    assert whole.json()["parts"][-1] == {"type": "text", "text": "Hello", "state": "done"}


async def test_a_resume_reads_from_the_start(house: House) -> None:
    """What comes back is marked too, and begins with `start`, however much was read before."""
    async with Reader(house.url) as reader, Reader(house.url) as second:
        run = await house.begin(reader)
        run.start()
        run.say("one ")
        await reader.until(b"one ")
        await second.ask("GET", "/ai-sdk/chat/c1/stream", headers={"x-user": "ann"})
        await second.until(b"one ")
        run.say("two")
        run.finish()
        first, resumed = await reader.whole(), await second.whole()
    assert resumed.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert (resumed.objects, resumed.text) == (first.objects, "one two")


async def test_a_resume_that_goes_on_in_a_message(house: House) -> None:
    """The resumed stream is in the format that was asked for, which tells no id where the client has one."""
    answered = {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": "Well"}]}
    messages = [asked(), answered]
    async with Reader(house.url) as reader, Reader(house.url) as second:
        run = await house.begin(reader, messages=messages)
        run.start()
        run.say("one")
        await second.ask("GET", "/ai-sdk/chat/c1/stream", headers={"x-user": "ann"})
        resumed = await second.until(b"one")
        run.finish()
        first = await reader.whole()
    assert resumed.objects[0] == first.objects[0] == {"type": "start"}


async def test_the_newest_answer_counts(house: House) -> None:
    """An older answer of the chat that still runs is not what a client comes back for."""
    async with Reader(house.url) as older, Reader(house.url) as newer:
        first = await house.begin(older)
        first.start()
        first.say("old")
        await older.until(b"old")
        second = await house.begin(newer)
        second.start()
        second.say("new")
        second.finish()
        await newer.whole()
        assert (await house.ask("GET", "c1/stream")).status == 204
        first.finish()
        await older.whole()


async def test_chats_are_their_callers_own(house: House) -> None:
    """Another user's chat of the same name is not found, not resumed and not stopped."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader)
        run.start()
        run.say("secret")
        await reader.until(b"secret")
        assert (await house.ask("GET", "c1/stream", user="bob")).status == 204
        refused = await house.ask("POST", "c1/cancel", user="bob")
        assert (refused.status, refused.json()["code"]) == (404, "chat_not_found")
        assert not run.cancelled
        run.finish()
        await reader.whole()


@pytest.mark.parametrize("chat", ["a/b", "a b", "ä?&#", "stream", "a/stream"])
async def test_any_name_of_a_chat(house: House, chat: str) -> None:
    """A chat is found by whatever name it has, as the SDK writes it into the address."""
    escaped = "".join(f"%{byte:02X}" for byte in chat.encode())
    async with Reader(house.url) as reader:
        run = await house.begin(reader, chat)
        run.start()
        run.say("Hi")
        await reader.until(b"Hi")
        stopped = await house.ask("POST", f"{escaped}/cancel")
        assert (stopped.status, stopped.json()["status"]) == (200, "aborted")
        assert (await house.ask("GET", f"{escaped}/stream")).status == 204


async def test_a_cancel_answers_the_same_each_time(house: House) -> None:
    """A cancel stops the upstream; it says where the stream stands, the second time and after a finish too."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader)
        run.start()
        run.say("Hi")
        await reader.until(b"Hi")
        first, second = [await house.ask("POST", "c1/cancel") for _ in range(2)]
        assert first.json() == second.json()
        assert run.cancelled
        assert '"type":"abort"' in (await reader.whole()).events[-1].data
        run = await house.begin(reader)
        run.start()
        run.finish()
        await reader.whole()
    assert (await house.ask("POST", "c1/cancel")).json()["status"] == "finished"


async def test_who_leaves_may_come_back(house: House) -> None:
    """A reader that leaves is waited for, as a page that is loaded anew comes back."""
    async with Reader(house.url) as reader:
        run = await house.begin(reader)
        run.start()
        run.say("one ")
        await reader.until(b"one ")
    await until(lambda: not any(log.viewers for log in house.tailrace.generations.ring))
    assert not run.cancelled
    async with Reader(house.url) as reader:
        await reader.ask("GET", "/ai-sdk/chat/c1/stream", headers={"x-user": "ann"})
        await reader.until(b"one ")
        run.finish()
        await reader.whole()


@pytest.mark.parametrize("where", ["body", "settings"])
async def test_who_says_so_is_not_waited_for(where: str) -> None:
    """`on_disconnect` in the body, or in the settings, holds in place of the grace."""
    async with served("cancel" if where == "settings" else None) as house:
        async with Reader(house.url) as reader:
            run = await house.begin(reader, **({"on_disconnect": "cancel"} if where == "body" else {}))
            run.start()
            run.say("one ")
            await reader.until(b"one ")
        await until(lambda: run.cancelled)
