"""Asks a tailrace server from Python: stream, come back, cancel, look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from tailrace.client.answer import Answer, Ask
from tailrace.client.wire import Patience, Wire

_GRACE_S: Final = 10


class Client:
    """One server, its connections pooled. Close it at the end, or use it as `async with Client(url) as client`.

    `key` is an API key, or a browser token; in open mode there is none. `patience` says how long to wait for what;
    `transport` is for tests and for proxies of your own.

    Methods raise RequestError where the server refuses (with its `status`, `code`, and `field` where one is wrong) and
    UnreachableError where it does not answer.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        patience: Patience | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._wire = Wire(url, key=key, patience=patience or Patience(), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()

    # Answers

    def stream(
        self,
        message: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        session_id: str | None = None,
        on_disconnect: str | float | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Answer:
        """Ask, and get the answer as it comes. Nothing is sent before it is iterated over.

        `message` is a user's text, `messages` whole turns; `options` are the other fields of `POST /v1/chat`. Without
        `on_disconnect` the server waits 10 seconds for a client that lost its connection, and an answer that you leave
        early is cancelled at once; `"continue"` lets it end without you.
        """
        named = {"message": message, "messages": list(messages) or None, "model": model, "session_id": session_id}
        body = {name: value for name, value in {**named, **options}.items() if value is not None}
        body["on_disconnect"] = _GRACE_S if on_disconnect is None else on_disconnect
        key = {} if idempotency_key is None else {"key": idempotency_key}
        return Answer(self._wire, ask=Ask(body=body, holds=on_disconnect is None, **key))

    def attach(self, stream_id: str, *, after: int = 0) -> Answer:
        """Read an answer that is there already, from its start or after entry `after`; others may be reading it too."""
        return Answer(self._wire, stream_id=stream_id, after=after)

    async def cancel(self, stream_id: str) -> dict[str, Any]:
        """Stop an answer for everyone, and return its state; the same state each time."""
        return await self._ask("POST", f"/v1/streams/{stream_id}/cancel")

    async def state(self, stream_id: str) -> dict[str, Any]:
        """Where an answer stands: its status, text so far, usage."""
        return await self._ask("GET", f"/v1/streams/{stream_id}")

    # What is kept

    async def models(self) -> list[str]:
        """The models that may be asked."""
        return [model["id"] for model in (await self._ask("GET", "/v1/models"))["data"]]

    async def usage(self, *, by: str = "key", since: str = "7d") -> list[dict[str, Any]]:
        """What was used, summed by `key`, `model`, `day` or `status`, since a span (`7d`) or a date."""
        sums: list[dict[str, Any]] = (await self._ask("GET", "/v1/usage", params={"by": by, "since": since}))["data"]
        return sums

    async def session(self, session_id: str) -> dict[str, Any]:
        """A conversation's messages."""
        return await self._ask("GET", f"/v1/sessions/{session_id}")

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._wire.ask(method, path, **options)
        return answer
