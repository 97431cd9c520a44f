"""Keys on a running `tailrace serve`, with the command line beside it: open mode, revocation, tokens, secrets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from tests.reader import Answer, Reader, ask
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.usefixtures("no_leaks")

SLOW: Final = {"message": "Hi", "model": "simulated/n2000-d20"}
QUICK: Final = {"message": "Hi", "model": "simulated/n2-d0"}
REVOKED_WITHIN_S: Final = 2.0


class Installation:
    """A running server, its data, and the command line on the same data."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.folder = folder
        self.server = server
        self.said: list[str] = []

    async def command(self, *arguments: str) -> str:
        """Run a command beside the server; what it printed."""
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=self.folder, env={**os.environ, **variables(self.folder)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        self.said.append(ran.stderr)
        return str(ran.stdout)

    async def make_key(self, *flags: str) -> dict[str, Any]:
        """A new key, made beside the server, which has heard of it."""
        found: dict[str, Any] = json.loads(await self.command("keys", "create", "--json", "--name", "x", *flags))
        await self.until_answered(401, "/v1/streams", key=None)
        return found

    async def ask(self, method: str, target: str, body: object = None, *, key: str | None = None) -> Answer:
        """One request to the server."""
        headers: Mapping[str, str] = {} if key is None else {"authorization": f"Bearer {key}"}
        return await ask(self.server.url, method, target, body, headers=headers)

    async def until_answered(self, status: int, target: str, *, key: str | None) -> None:
        """Ask until a GET has this status, which it must within the promised time."""
        async with asyncio.timeout(REVOKED_WITHIN_S):
            while (await self.ask("GET", target, key=key)).status != status:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.05)


def variables(folder: Path) -> dict[str, str]:
    """The environment of both."""
    return {"TAILRACE_DATA_DIR": str(folder / "data"), "PYTHONWARNINGS": "error"}


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """A server in open mode."""
    async with running_server("--log-level", "debug", env=variables(tmp_path)) as server:
        yield Installation(tmp_path, server)


async def test_the_first_key_ends_open_mode_and_its_end_its_streams(installation: Installation) -> None:
    """Without a restart and within two seconds: open mode ends, and later a revoked key with its running stream."""
    assert (await installation.ask("POST", "/v1/chat", QUICK)).status == 200
    made = await installation.make_key()
    key = made["key"]
    assert (await installation.ask("POST", "/v1/chat", QUICK, key=key)).status == 200
    async with Reader(installation.server.url) as reader:
        await reader.ask("POST", "/v1/chat/stream", SLOW, headers={"x-api-key": key})
        await reader.until(b'"delta"', times=3)
        await installation.command("keys", "revoke", made["id"])
        async with asyncio.timeout(REVOKED_WITHIN_S):
            answer = await reader.whole()
    assert b"key_revoked" in answer.body
    assert b"[DONE]" not in answer.body
    assert (await installation.ask("GET", "/v1/streams", key=key)).status == 401
    admin = await installation.make_key("--admin")
    row = (await installation.ask("GET", "/v1/usage/generations?limit=1", key=admin["key"])).json()["data"][0]
    assert (row["key_id"], row["status"], row["reason"]) == (made["id"], "failed", "key_revoked")


async def test_a_key_revoked_while_its_body_comes_generates_nothing(installation: Installation) -> None:
    """It was let in with its headers, and is stopped before its first token all the same."""
    admin = (await installation.ask("POST", "/v1/keys", {"name": "a", "admin": True})).json()
    made = (await installation.ask("POST", "/v1/keys", {"name": "b"}, key=admin["key"])).json()
    body = json.dumps(SLOW).encode()
    async with Reader(installation.server.url) as reader:
        headers = {"x-api-key": made["key"], "content-length": str(len(body))}
        await reader.ask("POST", "/v1/chat/stream", body[:9], headers=headers)
        # Once another request of this key has been answered, the one before it has been let in.
        await installation.ask("GET", "/v1/streams", key=made["key"])
        await installation.ask("DELETE", f"/v1/keys/{made['id']}", key=admin["key"])
        reader.send(body[9:])
        answer = await reader.whole()
    assert b"key_revoked" in answer.body
    assert answer.text == ""


async def test_keys_are_managed_over_http_too(installation: Installation) -> None:
    """The local admin of open mode makes the first key; from then on that key is needed, and works at once."""
    made = (await installation.ask("POST", "/v1/keys", {"name": "first", "admin": True})).json()
    assert (await installation.ask("GET", "/v1/keys")).status == 401
    second = (
        await installation.ask("POST", "/v1/keys", {"name": "second", "models": ["simulated"]}, key=made["key"])
    ).json()
    listed = json.loads(await installation.command("keys", "list", "--json"))["data"]
    assert [key["name"] for key in listed] == ["first", "second"]
    refused = await installation.ask("POST", "/v1/chat", QUICK, key=second["key"])
    assert (refused.status, refused.json()["code"]) == (403, "model_not_allowed")
    assert (await installation.ask("GET", "/v1/keys", key=second["key"])).status == 403


async def test_usage_is_ones_own(installation: Installation) -> None:
    """Two keys see each their own generations, an admin both, and so does the command line."""
    admin = (await installation.ask("POST", "/v1/keys", {"name": "a", "admin": True})).json()
    one, two = [(await installation.ask("POST", "/v1/keys", {"name": n}, key=admin["key"])).json() for n in "bc"]
    for key in (one, two, two):
        assert (await installation.ask("POST", "/v1/chat", QUICK, key=key["key"])).status == 200
    pages = [await installation.ask("GET", "/v1/usage/generations", key=key["key"]) for key in (one, two, admin)]
    seen = [sorted(row["key_id"] for row in page.json()["data"]) for page in pages]
    assert seen == [[one["id"]], [two["id"]] * 2, sorted([one["id"], two["id"], two["id"]])]
    sums = json.loads(await installation.command("usage", "--json"))["data"]
    assert {total["key_id"]: total["generations"] for total in sums} == {one["id"]: 1, two["id"]: 2}
    assert sums == (await installation.ask("GET", "/v1/usage", key=admin["key"])).json()["data"]


async def test_a_browser_streams_with_a_token(installation: Installation) -> None:
    """`?token=` on a GET for EventSource generates; the token sees its stream, and nothing but chat."""
    key = (await installation.make_key("--admin"))["key"]
    issued = await installation.ask("POST", "/v1/tokens", {"user": "u", "session_id": "s"}, key=key)
    token = issued.json()["token"]
    answer = await installation.ask("GET", f"/v1/chat?message=Hi&model=simulated/n2-d0&token={token}")
    assert (answer.status, answer.text != "") == (200, True)
    stream = answer.headers["x-tailrace-stream"]
    assert (await installation.ask("GET", f"/v1/streams/{stream}?token={token}")).status == 200
    elsewhere = await installation.ask("GET", f"/v1/chat?message=Hi&session_id=other&token={token}")
    assert (elsewhere.status, elsewhere.json()["code"]) == (403, "token_session")
    for target in ("/v1/keys", "/v1/usage", "/v1/usage/generations", "/metrics"):
        assert (await installation.ask("GET", f"{target}?token={token}")).status in (401, 403)
    other = (await installation.ask("POST", "/v1/tokens", {"user": "v"}, key=key)).json()["token"]
    assert (await installation.ask("GET", f"/v1/streams/{stream}?token={other}")).status == 404


async def test_a_canary_is_in_nothing_that_is_written(installation: Installation) -> None:
    """Keys and tokens, right, wrong and in the wrong place: in no log, error, metric, or file of the data folder."""
    made = await installation.make_key("--admin")
    key = made["key"]
    token = (await installation.ask("POST", "/v1/tokens", {}, key=key)).json()["token"]
    wrong = key[:-4] + "WXYZ"
    answers = [
        await installation.ask("POST", "/v1/chat", QUICK, key=key),
        await installation.ask("POST", "/v1/chat", QUICK, key=wrong),
        await installation.ask("GET", f"/v1/chat?message=Hi&model=simulated/n2-d0&token={token}"),
        await installation.ask("GET", f"/v1/streams?api_key={key}"),
        await installation.ask("GET", f"/v1/streams?token={key}"),
        await installation.ask("PATCH", "/v1/keys/x", {"rpm": 0}, key=key),
        await installation.ask("GET", "/v1/keys", key=key),
        await installation.ask("GET", "/v1/usage", key=key),
        await installation.ask("GET", "/metrics", key=key),
        await installation.ask("GET", "/v1/streams", key=f"{token}x"),
    ]
    assert [answer.status for answer in answers] == [200, 401, 200, 400, 400, 422, 200, 200, 200, 401]
    await installation.command("keys", "revoke", key)
    installation.server.signal(signal.SIGTERM)
    assert await installation.server.ended() == 0
    files = [path.read_bytes() for path in installation.folder.rglob("*") if path.is_file()]
    written = b"".join([
        *files, json.dumps(installation.server.logs()).encode(), "".join(installation.said).encode(),
        *(answer.body + json.dumps(answer.headers).encode() for answer in answers),
    ])  # fmt: skip
    assert installation.server.logs()
    assert files
    for canary in (key.split("_")[2], wrong.split("_")[2], token.split(".")[1]):
        assert canary.encode() not in written


async def test_another_address_needs_a_key_to_start(tmp_path: Path) -> None:
    """Reachable from outside it starts only once a key was made."""
    with pytest.raises(AssertionError, match="tailrace keys create"):
        async with running_server("--host", "0.0.0.0", env=variables(tmp_path)):
            pass
    async with running_server(env=variables(tmp_path)) as server:
        made = await Installation(tmp_path, server).make_key()
    async with running_server("--host", "0.0.0.0", env=variables(tmp_path)) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert (await ask(url, "GET", "/v1/streams")).status == 401
        assert (await ask(url, "GET", "/v1/streams", headers={"x-api-key": made["key"]})).status == 200
