"""One upstream for many scripts: each request is answered by the script that was set for its prompt."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.upstream import ReceivedRequest, Script, ScriptedUpstream, Step
from tests.waiting import until

UPSTREAM_KEY = "sk-canary-upstream-0123456789abcdef"


class Stage:
    """`env` points a tailrace's openai, anthropic and ollama at it. Prompts must be no part of each other.

    `gate` is a step for scripts, at which they wait until the test sets it.
    """

    def __init__(self) -> None:
        self.upstream = ScriptedUpstream(self._find)
        self._scripts: dict[bytes, Script] = {}
        self.gate = asyncio.Event()

    @property
    def env(self) -> dict[str, str]:
        url = self.upstream.url
        return {
            "OPENAI_API_KEY": UPSTREAM_KEY,
            "OPENAI_BASE_URL": f"{url}/v1",
            "ANTHROPIC_API_KEY": UPSTREAM_KEY,
            "ANTHROPIC_BASE_URL": url,
            "OLLAMA_HOST": url,
        }

    def set(self, prompt: str, script: Script) -> None:
        """Answer this prompt like this."""
        self._scripts[prompt.encode()] = script

    async def asked(self, prompt: str) -> None:
        """Wait until this prompt has come in."""
        await until(lambda: self._requests_of(prompt))

    async def left(self, prompt: str) -> None:
        """Wait until the other side has closed the connection that this prompt came on."""
        (request,) = self._requests_of(prompt)
        await until(
            lambda: any(over.connection == request.connection and over.by_peer for over in self.upstream.closed)
        )

    async def __aenter__(self) -> Self:
        await self.upstream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.upstream.__aexit__(kind, error, trace)

    def _requests_of(self, prompt: str) -> list[ReceivedRequest]:
        return [request for request in self.upstream.requests if prompt.encode() in request.body]

    def _find(self, request: ReceivedRequest) -> Script:
        """The script of the prompt that comes last: before it stands what was said earlier."""
        prompt = max(self._scripts, key=request.body.rfind, default=b"")
        return self._scripts[prompt] if prompt in request.body and prompt else (Step.STALL,)
