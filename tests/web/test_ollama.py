"""Ollama's routes beside its answers: names with tags, what a caller may know of models, and the description."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import jsonschema
import pytest
from tests.reader import Answer, ask
from tests.server import embed, serving

from tailrace import Tailrace, create_app
from tailrace.dialects import OLLAMA
from tailrace.events import Started, TextDelta
from tailrace.providers import Finish, Provider, Sink
from tailrace.requests import ChatRequest
from tailrace.settings import ModelSettings, ProviderSettings, Secret, Settings

pytestmark = pytest.mark.usefixtures("no_leaks")

ADMIN_KEY: Final = "tr_admin_" + "k" * 43
ASK: Final = [{"role": "user", "content": "Hi"}]


class Listener(Provider):
    """Answers with the name of the model that it was asked for."""

    kind = "openai"
    default_model = None

    def __init__(self, name: str) -> None:
        self.name = name

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        sink([Started(model=request.model, created_at=1.0), TextDelta(text=f"{self.name} {request.model}")])
        return Finish(reason="stop")

    async def models(self) -> list[str]:
        return ["m"]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server with an Ollama, a server of another kind, and names of its own."""
    settings = Settings(
        providers={
            "ollama": ProviderSettings(kind="ollama", base_url="http://127.0.0.1:9"),
            "other": ProviderSettings(kind="openai", base_url="http://127.0.0.1:9"),
        },
        models={
            "fast": ModelSettings(provider="other", model="quick"),
            "odd:latest": ModelSettings(provider="other", model="strange"),
        },
    )
    providers = {name: Listener(name) for name in ("ollama", "other")}
    async with serving(embed(Tailrace(settings, providers=providers, open=True))) as url:
        yield url


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("other/m", "other m"),
        ("other/m:latest", "other m"),
        ("other/m:free", "other m:free"),
        ("ollama/m:latest", "ollama m:latest"),
        ("ollama/m", "ollama m"),
        ("fast:latest", "other quick"),
        ("odd:latest", "other strange"),
    ],
)
async def test_the_default_tag(url: str, asked: str, told: str) -> None:
    """Clients put `:latest` behind any name: it is taken off where no Ollama would know it, and no name has it."""
    answer = await ask(url, "POST", "/api/chat", {"model": asked, "messages": ASK, "stream": False})
    assert answer.json()["message"]["content"] == told


async def test_what_is_shown_and_loaded_is_there(url: str) -> None:
    """A model that could not be asked can't be shown or loaded either; each says so in Ollama's words."""
    for path, body in (
        ("/api/show", {"model": "nope:latest"}),
        ("/api/chat", {"model": "nope", "messages": []}),
        ("/api/generate", {"model": "nope"}),
    ):
        answer = await ask(url, "POST", path, body)
        assert answer.status == 404
        assert answer.json()["error"].startswith("model not found: there is no model 'nope'; there is fast, ")
    shown = await ask(url, "POST", "/api/show", {"name": "fast:latest"})
    assert shown.json()["details"]["family"] == "other"
    assert (await ask(url, "POST", "/api/show", {})).json() == {"error": "model: a model must be named"}


async def test_a_key_sees_what_it_may_use() -> None:
    """The list holds a key's own models, and no other is shown, loaded or asked."""
    async with serving(create_app(Settings(admin_key=Secret(ADMIN_KEY)))) as url:
        made = await ask(
            url,
            "POST",
            "/v1/keys",
            {"name": "narrow", "models": ["simulated/n3-d1"]},
            headers={"x-api-key": ADMIN_KEY},
        )
        key = {"authorization": f"Bearer {made.json()['key']}"}
        tags = await ask(url, "GET", "/api/tags", headers=key)
        assert tags.json() == {"models": []}
        allowed = {"model": "simulated/n3-d1:latest", "messages": ASK}
        assert (await ask(url, "POST", "/api/chat", allowed, headers=key)).status == 200
        for path, body in (
            ("/api/show", {"model": "simulated"}),
            ("/api/generate", {"model": "simulated"}),
            ("/api/generate", {"model": "simulated", "prompt": "Hi"}),
        ):
            refused = await ask(url, "POST", path, body, headers=key)
            assert (refused.status, refused.json()) == (403, {"error": "model: this key may not use 'simulated'"})
        for method, path in (("GET", "/api/tags"), ("GET", "/api/version"), ("GET", "/api/ps"), ("POST", "/api/show")):
            assert (await ask(url, method, path, None if method == "GET" else {})).status == 401


async def test_bodies_that_are_not_json(url: str) -> None:
    """Another type, no JSON and an empty body are refused in Ollama's error object."""
    for body, content_type, status in (
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
    ):
        answer = await ask(url, "POST", "/api/chat", body, headers={"content-type": content_type})
        assert answer.status == status
        assert list(answer.json()) == ["error"]


# The description


@pytest.fixture(scope="module")
def document() -> Any:
    return create_app().openapi()


def check(document: Any, method: str, path: str, answer: Answer) -> None:
    """Hold an answer against what the document says of it: its type, and its shape where it is one JSON."""
    content = document["paths"][path][method]["responses"][str(answer.status)]["content"]
    media_type = answer.headers["content-type"]
    assert media_type in content
    if media_type == "application/json":
        schema = content[media_type]["schema"]
        jsonschema.Draft202012Validator(schema).validate(answer.json())
        assert set(answer.json()) <= set(schema["properties"]) | {"modelfile", "parameters", "template"}


async def test_answers_are_as_described(document: Any) -> None:
    """Streams, whole answers, lists and errors of Ollama's routes are what `/openapi.json` says."""
    asked: Sequence[tuple[str, str, object]] = (
        ("post", "/api/chat", {"model": "simulated/n3-d1-t1-r1", "messages": ASK}),
        ("post", "/api/chat", {"model": "simulated/n3-d1-t1-r1", "messages": ASK, "stream": False}),
        ("post", "/api/chat", {"model": "simulated"}),
        ("post", "/api/chat", {"model": "simulated/e429", "messages": ASK}),
        ("post", "/api/generate", {"model": "simulated/n3-d1", "prompt": "Hi"}),
        ("post", "/api/generate", {"model": "simulated/n3-d1-r1", "prompt": "Hi", "stream": False}),
        ("post", "/api/generate", {"model": "nope", "prompt": "Hi"}),
        ("get", "/api/tags", None),
        ("get", "/api/ps", None),
        ("get", "/api/version", None),
        ("post", "/api/show", {"model": "simulated"}),
        ("post", "/api/show", {}),
    )
    async with serving(create_app()) as url:
        for method, path, body in asked:
            check(document, method, path, await ask(url, method.upper(), path, body))


def test_bodies_are_described(document: Any) -> None:
    """The described bodies allow what clients send, and the stream's example is a line of the format."""
    described = document["paths"]["/api/chat"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"model": "m", "messages": ASK, "options": {"mirostat": 2, "stop": ["a"]}, "think": "low"})
    assert not validator.is_valid({"messages": [{"content": "Hi"}]})
    stream = described["responses"]["200"]["content"][OLLAMA.media_type]
    assert re.fullmatch(r'\{"model":.*\}\n', stream["examples"]["ollama"]["value"])
