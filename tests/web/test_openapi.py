"""`/openapi.json` is valid, complete, and true: real answers are held against what it says of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.reader import Answer, Reader, ask
from tests.server import serving

from tailrace import Tailrace, create_app

pytestmark = pytest.mark.usefixtures("no_leaks")

BODY = {"message": "Hi", "model": "simulated/n3-d1"}
OWN = {
    ("post", "/v1/chat"), ("get", "/v1/chat"), ("post", "/v1/chat/stream"),
    ("get", "/api/v1/chat"), ("post", "/api/v1/chat/stream"), ("get", "/api/chat"), ("post", "/api/chat/stream"),
    ("post", "/chat/stream"), ("get", "/chat/stream"), ("post", "/chat/stream-meta"),
    ("post", "/anthropic/stream"), ("post", "/langchain/stream"),
    ("get", "/v1/streams"), ("get", "/v1/streams/{stream_id}"), ("post", "/v1/streams/{stream_id}/cancel"),
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Any:
    """What `/openapi.json` says."""
    return create_app().openapi()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(create_app()) as url:
        yield url


def operations(document: Any) -> dict[tuple[str, str], Any]:
    """Each operation by method and path."""
    return {(method, path): item for path, items in document["paths"].items() for method, item in items.items()}


def check(document: Any, method: str, path: str, answer: Answer) -> None:
    """Hold an answer against what the document says of it: its status, its type, and its shape where it is JSON."""
    described = operations(document)[method, path]["responses"][str(answer.status)]
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in described["content"]
    if media_type.endswith("json"):
        validator = jsonschema.Draft202012Validator(described["content"][media_type]["schema"])
        validator.validate(answer.json())
        known = described["content"][media_type]["schema"]["properties"]
        assert set(answer.json()) <= set(known)


async def test_it_is_served_and_valid(url: str, document: Any) -> None:
    """It is what OpenAPI 3.1 allows, and the same on the wire."""
    assert (await ask(url, "GET", "/openapi.json")).json() == document
    OpenAPIV31SpecValidator(document).validate()


async def test_it_stays_valid_in_another_application() -> None:
    """Mounted under a prefix beside other routes, it does not break the application's own document."""
    app = FastAPI()
    app.include_router(Tailrace().router, prefix="/ai")
    OpenAPIV31SpecValidator(app.openapi()).validate()


def test_every_endpoint_is_there(document: Any) -> None:
    """Each endpoint that exists is described, each with words and an id of its own."""
    found = operations(document)
    assert found.keys() >= OWN
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    assert all(operation["summary"] for operation in found.values())


@pytest.mark.parametrize(("method", "path"), sorted(OWN))
def test_bodies_streams_and_errors_are_described(document: Any, method: str, path: str) -> None:
    """What generates describes its body or query, its stream, the resume, and every error as problem JSON."""
    operation = operations(document)[method, path]
    responses = operation["responses"]
    assert {"400", "401", "403", "404", "413", "415", "422", "429", "500", "502", "503", "504"} <= set(responses)
    for status, response in responses.items():
        if int(status) >= 400:
            assert {"code", "detail", "request_id"} <= set(
                response["content"]["application/problem+json"]["schema"]["required"]
            )
    if not path.startswith("/v1/streams"):
        assert "text/event-stream" in responses["200"]["content"]
        assert "204" in responses
        assert "Last-Event-ID" in {parameter["name"] for parameter in operation["parameters"]}
        assert ("requestBody" in operation) == (method == "post")
        assert ("message" in {parameter["name"] for parameter in operation["parameters"]}) == (method == "get")
    named = set(re.findall(r"\{(\w+)\}", path))
    assert {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"} == named


def test_the_bodys_schema_takes_what_the_route_takes(document: Any) -> None:
    """The described body allows real bodies and no unknown field."""
    schema = operations(document)["post", "/v1/chat"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(schema)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    parts = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    for body in (
        BODY,
        {"messages": [{"role": "user", "content": parts}], "tools": [tool], "on_disconnect": 5},
        {"message": "Hi", "on_disconnect": "continue", "stop": ["x"], "metadata": {"a": 1}},
        {"message": "Hi", "stop": "x"},
    ):
        validator.validate(body)
    for wrong in ({"message": 5}, {"message": "Hi", "max_tokens": 0}, {"message": "Hi", "nonsense": 1}):
        assert not validator.is_valid(wrong)


async def test_answers_are_as_described(url: str, document: Any) -> None:
    """Whole answers, streams, states in each of their ways and the list are what the document says."""
    for method, path, body in (
        ("post", "/v1/chat", BODY),
        ("post", "/v1/chat", {**BODY, "stream": True}),
        ("post", "/v1/chat", {**BODY, "model": "simulated/n3-d1-r2-t1"}),
        ("post", "/chat/stream", BODY),
        ("post", "/chat/stream", [{"role": "user", "content": "Hi"}]),
        ("post", "/chat/stream-meta", BODY),
        ("post", "/v1/chat/stream", {**BODY, "model": "simulated/n3-d1-x2"}),
    ):
        target = path + ("?model=simulated/n3-d1" if isinstance(body, list) else "")
        answer = await ask(url, method.upper(), target, body)
        assert answer.status == 200
        check(document, method, path, answer)
        state = await ask(url, "GET", f"/v1/streams/{answer.headers['x-tailrace-stream']}")
        check(document, "get", "/v1/streams/{stream_id}", state)
    check(document, "get", "/v1/streams", await ask(url, "GET", "/v1/streams"))


async def test_a_running_state_and_a_cancel_are_as_described(url: str, document: Any) -> None:
    """So are the state of a running stream and the answer to a cancel."""
    async with Reader(url) as reader:
        await reader.ask("POST", "/v1/chat/stream", {**BODY, "model": "simulated/s1"})
        stream = (await reader.until(b"delta")).headers["x-tailrace-stream"]
        state = await ask(url, "GET", f"/v1/streams/{stream}")
        assert (state.json()["status"], state.json()["usage"]) == ("running", None)
        check(document, "get", "/v1/streams/{stream_id}", state)
        cancelled = await ask(url, "POST", f"/v1/streams/{stream}/cancel")
        check(document, "post", "/v1/streams/{stream_id}/cancel", cancelled)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        ({"message": "Hi", "model": "nix"}, 404),
        ({"message": 5}, 422),
        ({**BODY, "model": "simulated/e429"}, 429),
        ({**BODY, "model": "simulated/e500"}, 502),
        ({**BODY, "model": "simulated/n5-d1-x2"}, 502),
        ({**BODY, "model": "gpt-4o"}, 503),
    ],
)
async def test_problems_are_as_described(url: str, document: Any, body: object, status: int) -> None:
    """Each error is problem JSON of the described shape, the one of a whole answer that broke off too."""
    answer = await ask(url, "POST", "/v1/chat", body, headers={"content-type": "application/json"})
    assert answer.status == status
    check(document, "post", "/v1/chat", answer)
