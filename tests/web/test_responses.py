"""Responses that are stored: found again and forgotten, each by whom it belongs to alone."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from tests.gateway import gateway
from tests.reader import Answer, Reader
from tests.web.responding import ALL, LOOK, begin, conversation, error_of, read, respond, said

from tailrace import create_app
from tailrace.errors import UpstreamError
from tailrace.events import ReasoningDelta, UsageReported
from tailrace.requests import user_message

pytestmark = pytest.mark.usefixtures("no_leaks")


# Storing


async def test_what_is_not_stored_is_nowhere() -> None:
    """With store: false no turn is kept, and neither the response nor its items are found again."""
    async with gateway() as house:
        response = await respond(house, "1", input="a", store=False)
        assert response["store"] is False
        assert house.execute("SELECT count(*) FROM turns") == [(0,)]
        assert error_of(await read(house, response["id"])) == (404, "response_not_found", None)
        onward = await house.ask("POST", ALL, {"input": "b", "previous_response_id": response["id"]})
        assert error_of(onward) == (400, "previous_response_not_found", "previous_response_id")
        refer = [{"type": "item_reference", "id": response["output"][0]["id"]}]
        assert error_of(await house.ask("POST", ALL, {"input": refer}))[0] == 404


async def test_going_on_without_storing() -> None:
    """A response that is not stored may go on from one that is."""
    async with gateway() as house:
        first = await respond(house, "1", input="a")
        await respond(house, "2", input="b", previous_response_id=first["id"], store=False)
        assert conversation(house) == (user_message("a"), said("1"), user_message("b"))
        assert house.execute("SELECT count(*) FROM turns") == [(2,)]


async def test_the_stream_goes_and_the_conversation_stays() -> None:
    """Once its stream is kept no longer a response is not found, but it is still gone on from."""
    async with gateway(stream={"keep_s": 0.0}) as house:
        first = await respond(house, "1", input="a")
        assert (await read(house, first["id"])).json() == first
        house.forget_logs()
        assert error_of(await read(house, first["id"])) == (404, "response_not_found", None)
        await respond(house, "2", input="b", previous_response_id=first["id"])
        assert conversation(house) == (user_message("a"), said("1"), user_message("b"))


async def test_a_response_is_what_was_answered() -> None:
    """GET gives what POST gave, the request's own fields among it, whichever way it was asked for."""
    usage = UsageReported(input_tokens=3, output_tokens=2)
    asked: dict[str, Any] = {"metadata": {"k": "v"}, "temperature": 0.5, "instructions": "I", "max_output_tokens": 9}
    async with gateway() as house:
        whole = await respond(house, "1", usage, **asked)
        assert (await read(house, whole["id"])).json() == whole
        assert {name: whole[name] for name in asked} == asked
        assert (whole["usage"]["input_tokens"], whole["usage"]["total_tokens"]) == (3, 5)
        async with Reader(house.url) as reader:
            run = await begin(house, reader, stream=True)
            run.say("1")
            running = await reader.until(b"output_text.delta")
            response_id = running.objects[0]["response"]["id"]
            half = (await read(house, response_id)).json()
            assert (half["status"], half["output"][0]["status"]) == ("in_progress", "in_progress")
            run.finish()
            streamed = (await reader.whole()).objects[-1]["response"]
            assert (await read(house, response_id)).json() == streamed


async def test_forgetting() -> None:
    """A deleted response is found no more, by whatever way; what went on from it can't be gone on from either."""
    async with gateway() as house:
        first = await respond(house, "1", input="a")
        second = await respond(house, "2", input="b", previous_response_id=first["id"])
        deleted = await house.ask("DELETE", f"{ALL}/{first['id']}")
        assert deleted.json() == {"id": first["id"], "object": "response", "deleted": True}
        for path in (f"{ALL}/{first['id']}", f"{ALL}/{first['id']}?stream=true", f"{ALL}/{first['id']}/input_items"):
            assert error_of(await house.ask("GET", path))[:2] == (404, "response_not_found")
        assert error_of(await house.ask("DELETE", f"{ALL}/{first['id']}"))[0] == 404
        onward = await house.ask("POST", ALL, {"input": "c", "previous_response_id": second["id"]})
        assert error_of(onward) == (400, "previous_response_not_found", "previous_response_id")
        assert first["id"] in onward.json()["error"]["message"]
        assert (await read(house, second["id"])).status == 200


@pytest.mark.parametrize("wanted", ["resp_1", "gen_0", "talk", "resp_" + "0" * 24, "%00", "resp_" + "é" * 24])
async def test_no_such_response(wanted: str) -> None:
    """An id that is none of ours, or of nothing, is not found, whatever is asked of it."""
    async with gateway() as house:
        await respond(house, "1", conversation="talk")
        for method, path in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            answer = await house.ask(method, f"{ALL}/{wanted.replace('é', '%C3%A9')}{path}")
            assert error_of(answer)[:2] == (404, "response_not_found")


# Whose they are


async def test_another_key_sees_nothing() -> None:
    """A response is its key's: to another it is not there, and neither is its conversation, nor an item of it."""
    async with gateway() as house:
        mine, other = await house.key(), await house.key()
        first = await respond(house, "1", key=mine)
        assert (await read(house, first["id"], key=mine)).status == 200
        for method, path in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
            answer = await house.ask(method, f"{ALL}/{first['id']}{path}", headers=other)
            assert error_of(answer)[:2] == (404, "response_not_found")
        for body in (
            {"input": "b", "previous_response_id": first["id"]},
            {"input": [{"type": "item_reference", "id": first["output"][0]["id"]}]},
        ):
            assert (await house.ask("POST", ALL, body, headers=other)).status in (400, 404)
        assert (await read(house, first["id"], key=mine)).json() == first


async def test_a_token_for_one_session() -> None:
    """A browser token that is bound to a session makes responses in that session, and reaches no stored one."""
    async with gateway() as house:
        key = await house.key()
        stored = await respond(house, "1", key=key)
        token = await house.token(key, session_id="talk")
        own = await respond(house, "2", key=token, input="a")
        await respond(house, "3", key=token, input="b")
        assert conversation(house) == (user_message("a"), said("2"), user_message("b"))
        assert (await read(house, own["id"], key=token)).status == 200
        assert (await read(house, stored["id"], key=token)).status == 404
        assert (await house.ask("DELETE", f"{ALL}/{stored['id']}", headers=token)).status == 404
        body = {"input": "c", "previous_response_id": stored["id"]}
        assert error_of(await house.ask("POST", ALL, body, headers=token))[:2] == (403, "token_session")


# What it was asked


async def test_input_items() -> None:
    """The whole conversation before a response, newest first, as items that can be sent again, page by page."""
    async with gateway() as house:
        image = {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"}
        asked = {"role": "user", "content": [{"type": "input_text", "text": "a"}, image]}
        first = await respond(house, ReasoningDelta(text="Hm.", signature="s"), "A", *LOOK, input=[asked])
        output = {"type": "function_call_output", "call_id": "c1", "output": "Seen."}
        second = await respond(house, "B", input=[output], previous_response_id=first["id"], instructions="I")
        path = f"{ALL}/{second['id']}/input_items"
        listed = (await house.ask("GET", f"{path}?order=asc")).json()
        assert listed["has_more"] is False
        kinds = [item["type"] for item in listed["data"]]
        assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
        assert listed["data"][0]["content"][1] == image
        assert [item["id"] for item in listed["data"][1:4]] == [item["id"] for item in first["output"]]
        again = [{key: value for key, value in item.items() if key != "id"} for item in listed["data"]]
        before = conversation(house)[1:]
        await respond(house, "!", input=again)
        assert conversation(house) == before
        newest = (await house.ask("GET", f"{path}?limit=2")).json()
        assert [item["id"] for item in newest["data"]] == [item["id"] for item in listed["data"][:-3:-1]]
        assert (newest["has_more"], newest["last_id"]) == (True, listed["data"][-2]["id"])
        rest = (await house.ask("GET", f"{path}?limit=9&after={newest['last_id']}")).json()
        assert [item["id"] for item in rest["data"]] == [item["id"] for item in listed["data"][2::-1]]
        assert error_of(await house.ask("GET", f"{path}?after=x"))[2] == "after"
        assert error_of(await house.ask("GET", f"{path}?limit=101"))[2] == "limit"


# The description


async def test_answers_are_as_described() -> None:
    """What `/openapi.json` says of these routes holds for their answers: whole, streamed, listed, deleted, refused."""
    paths = create_app().openapi()["paths"]

    def check(method: str, path: str, answer: Answer) -> None:
        described = paths[path][method]["responses"][str(answer.status)]["content"]
        media_type = answer.headers["content-type"].partition(";")[0]
        schema = described[media_type]["schema"]
        if media_type == "application/json":
            jsonschema.Draft202012Validator(schema).validate(answer.json())
            assert set(answer.json()) <= set(schema["properties"])

    one = f"{ALL}/{{response_id}}"
    async with gateway() as house:
        whole = await respond(house, "1", UsageReported(input_tokens=1, output_tokens=1), metadata={"k": "v"})
        check("get", one, await read(house, whole["id"]))
        check("get", one, await read(house, whole["id"], "?stream=true"))
        check("get", f"{one}/input_items", await house.ask("GET", f"{ALL}/{whole['id']}/input_items"))
        check("post", ALL, await house.ask("POST", ALL, {"input": "Hi", "background": True, "conversation": "c"}))
        (await house.tap.asked(2)).fail(UpstreamError("upstream_cut", "cut"))
        check("post", ALL, await house.ask("POST", ALL, {"input": 5}))
        check("post", f"{one}/cancel", await house.ask("POST", f"{ALL}/{whole['id']}/cancel"))
        check("delete", one, await house.ask("DELETE", f"{ALL}/{whole['id']}"))
        check("get", one, await read(house, whole["id"]))
