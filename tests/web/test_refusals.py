"""What is refused, through the real interface: the status, and problem JSON that says where and what would be right."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from tests.reader import Answer, Reader, ask
from tests.server import serving
from tests.upstream import ScriptedUpstream, answer, in_turn

from tailrace import Settings, create_app
from tailrace.settings import ProviderSettings, ServerSettings, StreamSettings

pytestmark = pytest.mark.usefixtures("no_leaks")

MAX_BODY = 100_000
MESSAGE = {"role": "user", "content": "Hi"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(create_app(Settings(server=ServerSettings(max_body=MAX_BODY)))) as url:
        yield url


def problem_of(answer: Answer) -> Any:
    """The problem that an answer is, after a look at what every problem has."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert set(problem) <= {"type", "title", "status", "detail", "code", "request_id", "field"}
    return problem


BODIES: list[tuple[str, Any, int, str, str | None, str]] = [
    ("not JSON", b"{", 400, "invalid_json", None, "not JSON"),
    ("nothing", b"", 400, "invalid_json", None, "empty"),
    ("not UTF-8", b'{"message":"\xff"}', 400, "invalid_json", None, "not JSON"),
    ("two documents", b'{"message":"a"}{}', 400, "invalid_json", None, "not JSON"),
    ("too deep", b"[" * 50_000, 400, "invalid_json", None, "not JSON"),
    ("an array", [MESSAGE], 422, "invalid_field", None, "JSON object"),
    ("a text", "Hi", 422, "invalid_field", None, "JSON object"),
    ("null", None, 422, "invalid_field", None, "JSON object"),
    ("no message", {}, 422, "invalid_field", None, "either message or messages"),
    ("both", {"message": "a", "messages": [MESSAGE]}, 422, "invalid_field", None, "not both"),
    ("an empty message", {"message": ""}, 422, "invalid_field", "message", "at least 1"),
    ("no messages", {"messages": []}, 422, "invalid_field", "messages", "at least 1"),
    ("a number for a message", {"message": 5}, 422, "invalid_field", "message", "string"),
    ("an object for messages", {"messages": MESSAGE}, 422, "invalid_field", "messages", "array"),
    ("a bad role", {"messages": [{**MESSAGE, "role": "me"}]}, 422, "invalid_field", "messages.0.role", "'user'"),
    ("no content", {"messages": [MESSAGE, {"role": "user"}]}, 422, "invalid_field", "messages.1", "needs content"),
    ("a typo", {"mesage": "Hi"}, 422, "unknown_field", "mesage", "did you mean message?"),
    ("a typo in a name", {"message": "Hi", "max_token": 5}, 422, "unknown_field", "max_token", "mean max_tokens?"),
    ("a stranger", {"message": "Hi", "qqqq": 5}, 422, "unknown_field", "qqqq", '"qqqq"'),
    ("negative max_tokens", {"message": "Hi", "max_tokens": -1}, 422, "invalid_field", "max_tokens", "greater than"),
    ("fractional max_tokens", {"message": "Hi", "max_tokens": 1.5}, 422, "invalid_field", "max_tokens", "integer"),
    ("text for max_tokens", {"message": "Hi", "max_tokens": "5"}, 422, "invalid_field", "max_tokens", "integer"),
    ("a hot temperature", {"message": "Hi", "temperature": 3}, 422, "invalid_field", "temperature", "less than"),
    ("NaN", b'{"message":"Hi","temperature":NaN}', 422, "invalid_field", "temperature", "temperature"),
    ("stream as text", {"message": "Hi", "stream": "yes"}, 422, "invalid_field", "stream", "boolean"),
    ("many stops", {"message": "Hi", "stop": ["x"] * 17}, 422, "invalid_field", "stop", "at most 16"),
    ("a bad policy", {"message": "Hi", "on_disconnect": "stay"}, 422, "invalid_field", "on_disconnect", "cancel"),
    ("negative grace", {"message": "Hi", "on_disconnect": -1}, 422, "invalid_field", "on_disconnect", "0 to 86400"),
    ("two system prompts", {"message": "a", "system": "b", "system_prompt": "c"}, 422, "invalid_field", None, "same"),
    ("unknown model", {"message": "Hi", "model": "gtp-5"}, 404, "model_not_found", "model", "simulated"),
    ("unknown script", {"message": "Hi", "model": "simulated/q9"}, 404, "model_not_found", "model", "letters"),
    ("unknown backend", {"message": "Hi", "backend": "opanai"}, 400, "unknown_backend", "backend", "simulated"),
    ("a provider that is off", {"message": "Hi", "model": "gpt-4o"}, 503, "provider_off", None, "OPENAI_API_KEY"),
    ("claude is off", {"message": "Hi", "model": "claude-x"}, 503, "provider_off", None, "ANTHROPIC_API_KEY"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "field", "words"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
@pytest.mark.parametrize("target", ["/v1/chat", "/v1/chat/stream", "/chat/stream-meta"])
async def test_a_wrong_body_is_refused(
    url: str, target: str, body: Any, status: int, code: str, field: str | None, words: str
) -> None:
    """Each wrong body gets its status and code, the field it is about, and words that help."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await ask(url, "POST", target, content)
    problem = problem_of(answer)
    assert (answer.status, problem["code"], problem.get("field")) == (status, code, field), problem
    assert words in problem["detail"]


TARGETS: list[tuple[str, str, int, str, str | None, str]] = [
    ("no message", "/v1/chat", 422, "invalid_field", None, "message"),
    ("a typo", "/v1/chat?mesage=Hi", 422, "unknown_field", "mesage", "did you mean message?"),
    ("a body's field", "/v1/chat?message=Hi&tools=x", 422, "unknown_field", "tools", "tools"),
    ("a bad number", "/v1/chat?message=Hi&max_tokens=many", 422, "invalid_field", "max_tokens", "integer"),
    ("a bad policy", "/v1/chat?message=Hi&on_disconnect=stay", 422, "invalid_field", "on_disconnect", "cancel"),
    ("unknown model", "/chat/stream?message=Hi&model=x", 404, "model_not_found", "model", "simulated"),
    ("unknown backend", "/chat/stream?message=Hi&backend=x", 400, "unknown_backend", "backend", "simulated"),
    ("a key", "/v1/chat?message=Hi&api_key=k", 400, "key_in_query", "api_key", "X-API-Key"),
    ("a key in capitals", "/v1/streams?KEY=k", 400, "key_in_query", "KEY", "X-API-Key"),
    ("no such stream", "/v1/streams/gen_1", 404, "stream_not_found", None, "gen_1"),
    ("a path's template", "/v1/streams/%7Bstream_id%7D", 404, "stream_not_found", None, "{stream_id}"),
    ("no such path", "/v1/chats", 404, "not_found", None, "/v1/chats"),
    ("another method", "/v1/streams/gen_1/cancel", 405, "method_not_allowed", None, "GET"),
]


@pytest.mark.parametrize(
    ("target", "status", "code", "field", "words"), [case[1:] for case in TARGETS], ids=[case[0] for case in TARGETS]
)
async def test_a_wrong_target_is_refused(
    url: str, target: str, status: int, code: str, field: str | None, words: str
) -> None:
    """Queries and paths are refused as bodies are, what the framework refuses by itself too."""
    answer = await ask(url, "GET", target)
    problem = problem_of(answer)
    assert (answer.status, problem["code"], problem.get("field")) == (status, code, field), problem
    assert words in problem["detail"]


HEADERS: list[tuple[str, Mapping[str, str | None], int, str, str | None]] = [
    ("text", {"content-type": "text/plain"}, 415, "unsupported_media_type", None),
    ("a form", {"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", None),
    ("untyped", {"content-type": None}, 415, "unsupported_media_type", None),
    (
        "a bad policy",
        {"x-tailrace-on-disconnect": "stay"},
        422,
        "invalid_field",
        "X-Tailrace-On-Disconnect",
    ),
    ("no cursor", {"last-event-id": "12"}, 400, "bad_cursor", None),
    ("a cursor's shadow", {"last-event-id": "gen_0.1"}, 400, "bad_cursor", None),
]


@pytest.mark.parametrize(
    ("headers", "status", "code", "field"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS]
)
async def test_a_wrong_header_is_refused(
    url: str, headers: Mapping[str, str | None], status: int, code: str, field: str | None
) -> None:
    """A body of another type, a policy that is none and a cursor that is none are refused by name."""
    answer = await ask(url, "POST", "/v1/chat/stream", {"message": "Hi"}, headers=headers)
    problem = problem_of(answer)
    assert (answer.status, problem["code"], problem.get("field")) == (status, code, field)


async def test_charset_and_case_of_the_type_do_not_matter(url: str) -> None:
    """`Application/JSON; charset=utf-8` is JSON."""
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    body = {"message": "Hi", "model": "simulated/n1-d0"}
    assert (await ask(url, "POST", "/v1/chat", body, headers=headers)).status == 200


async def test_a_body_over_the_cap_is_refused_early(url: str) -> None:
    """413 comes before the body has been sent, whether its length was said or not; below the cap it is read."""
    fits = {"message": "x" * (MAX_BODY - 100), "model": "simulated/n1-d0"}
    assert (await ask(url, "POST", "/v1/chat", fits)).status == 200
    async with Reader(url) as reader:
        await reader.ask(
            "POST", "/v1/chat", b"{", headers={"content-type": "application/json", "content-length": "100001"}
        )
        answer = await reader.whole()
        assert (answer.status, problem_of(answer)["code"]) == (413, "too_large")
    async with Reader(url) as reader:
        await reader.ask("POST", "/v1/chat", b"", headers={"transfer-encoding": "chunked"})
        for _ in range(3):
            reader.send(b"c350\r\n" + b" " * 50_000 + b"\r\n")
        answer = await reader.whole()
        assert (answer.status, problem_of(answer)["code"]) == (413, "too_large")


@pytest.mark.parametrize("target", ["/v1/chat", "/chat/stream"])
async def test_half_a_character_is_no_bug_of_ours(url: str, target: str) -> None:
    """A lone surrogate in a body is refused, or replaced on its way: never an error inside the server."""
    body = rb'{"message":"\ud800","model":"simulated/n40-d0"}'
    assert (await ask(url, "POST", target, body)).status in (200, 400, 422)


UPSTREAMS = {
    400: (400, "upstream_refused"),
    401: (502, "upstream_auth"),
    402: (502, "upstream_auth"),
    403: (502, "upstream_auth"),
    404: (404, "upstream_refused"),
    413: (413, "upstream_refused"),
    418: (502, "upstream_refused"),
    422: (422, "upstream_refused"),
    429: (429, "upstream_refused"),
    500: (502, "upstream_error"),
    503: (502, "upstream_error"),
}
RETRY_LATER = {429, 500, 503}


async def test_an_upstreams_refusal_becomes_ours() -> None:
    """Each status of an upstream has its status here; its words reach the client, its key does not."""
    body = b'{"error":{"message":"no, sk-canary1234567890"}}'
    refusals = [[answer(body, f"{status} No", retry_after="3")] for status in UPSTREAMS]
    async with ScriptedUpstream(in_turn(*refusals)) as upstream:
        provider = ProviderSettings(kind="openai", base_url=upstream.url, default_model="m")
        settings = Settings(providers={"up": provider}, default_model="up/m")
        async with serving(create_app(without_retries(settings))) as url:
            for status, (expected, code) in UPSTREAMS.items():
                refused = await ask(url, "POST", "/v1/chat/stream", {"message": "Hi"})
                problem = refused.json()
                assert (status, refused.status, problem["code"]) == (status, expected, code)
                assert "up: " in problem["detail"]
                assert "no, ***" in problem["detail"]
                assert status not in RETRY_LATER or refused.headers["retry-after"] == "3"


def without_retries(settings: Settings) -> Settings:
    """The same, each upstream asked once."""
    return msgspec.structs.replace(settings, stream=StreamSettings(retries=0))
