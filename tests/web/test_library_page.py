"""What the page on the library shows runs as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import FastAPI, Request
from tests.gateway import Gateway
from tests.reader import ask
from tests.server import serving
from tests.tap import Tap

from tailrace import Failed, Tailrace, TextDelta
from tailrace.prices import ITERATOR, Prices
from tailrace.settings import load

pytestmark = pytest.mark.usefixtures("no_leaks")

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "library.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def ask_my_model(question: str) -> AsyncIterator[str]:
    """What the page takes for granted: a model of one's own."""
    yield f"You ask: {question}"


def current_user(request: Request) -> str | None:
    """What it takes for granted too: users of one's own."""
    return request.headers.get("x-user")


class MyProvider(Tap):
    """And an upstream of one's own."""

    def __init__(self) -> None:
        super().__init__(name="mine")


async def run(code: str, names: dict[str, Any]) -> None:
    """Run a block of code, which may await, in the names that the earlier ones made."""
    compiled = compile(code, "library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.iscoroutine(running := eval(compiled, names)):
        await running


async def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks run one after the other; its routes stream, refuse strangers, and leave rows for those they know."""
    one_route, whole, listening, keyed = blocks("python")
    names: dict[str, Any] = {
        "ask_my_model": ask_my_model,
        "current_user": current_user,
        "MyProvider": MyProvider,
        "TextDelta": TextDelta,
        "Failed": Failed,
    }
    await run(one_route, names)
    async with serving(names["app"]) as url:
        assert (await ask(url, "GET", "/answer?question=why")).text == "You ask: why"
    await run("from contextlib import aclosing\n" + whole, names)
    await run(keyed, names)
    app: FastAPI = names["app"]
    tailrace: Tailrace = names["tailrace"]
    async with serving(app) as url:
        house = Gateway(url, tailrace, Tap())
        await run(listening.replace("mine/small", "simulated/n3-d0"), names)
        assert capsys.readouterr().out
        assert (await house.ask("GET", "/answer?question=why")).status == 401
        ada = {"x-user": "ada"}
        assert (await house.ask("GET", "/answer?question=why", headers=ada)).text == "You ask: why"
        assert (await house.ask("GET", "/headline?topic=tea", headers=ada)).json()["headline"]
        found = [(row.scope.key_id, row.scope.user, row.model) for row in await house.settled(3)]
    assert found == [("app", None, "simulated/n3-d0"), ("app", "ada", "my-model"), ("app", "ada", "simulated")]


def test_the_page_s_settings_are_read(tmp_path: Path) -> None:
    """The settings that give an iterator its price are settings."""
    (toml,) = blocks("toml")
    (tmp_path / "tailrace.toml").write_text(toml, "utf-8")
    settings = load({}, {}, tmp_path)
    price = Prices(settings).find("my-model", ITERATOR, "my-model")
    assert price is not None
    assert (price.input, price.output) == (10**6, 10**7)
