"""Measures what happens to streams on the way from a server: two of the simulated model's, whose times are known."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import httpx2
import msgspec

from tailrace.errors import UnreachableError, WireError
from tailrace.sse import Decoder

TOKENS: Final = 60
DELAY_MS: Final = 50
_PATH: Final = "/v1/chat/stream"
_CODINGS: Final = "gzip, deflate, br, zstd"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One read that brought tokens: seconds since the first of all, and how many it brought."""

    at: float
    tokens: int


class Paced(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of `TOKENS` tokens, sent one each `DELAY_MS`, as it came in."""

    status: int
    headers: dict[str, str]
    http_version: str
    arrivals: tuple[Arrival, ...]
    whole: bool
    detail: str = ""


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """A stream whose first token was due after `asked_s` seconds.

    `lasted_s` is when it ended; it is `whole` where the token came. `status` is None where no answer came at all.
    """

    asked_s: float
    lasted_s: float
    whole: bool
    status: int | None
    detail: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen of the way to one server."""

    url: str
    health: str
    paced: Paced
    silent: Silent


async def probe(url: str, *, key: str | None, silence_s: float) -> Measured:
    """Ask for both streams at once. Raises UnreachableError where there is no answer at all."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    timeout = httpx2.Timeout(silence_s + 30, connect=10)
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout) as http:
        try:
            health = (await http.get("/health")).text[:200]
            paced, silent = await asyncio.gather(_measure_paced(http), _measure_silence(http, silence_s))
        except httpx2.TransportError as error:
            raise UnreachableError(f"{url} does not answer: {error or type(error).__name__}", url=url) from error
    return Measured(url=url, health=health, paced=paced, silent=silent)


async def _measure_paced(http: httpx2.AsyncClient) -> Paced:
    arrivals: list[Arrival] = []
    reading = _Reading()
    asked = {"message": "Hi", "model": f"simulated/n{TOKENS}-d{DELAY_MS}"}
    async with http.stream("POST", _PATH, json=asked, headers={"accept-encoding": _CODINGS}) as response:
        if response.is_error:
            return _paced(response, detail=(await response.aread()).decode("utf-8", "replace"))
        first = None
        try:
            async for data in response.aiter_bytes():
                now = time.monotonic()
                if tokens := reading.feed(data):
                    first = now if first is None else first
                    arrivals.append(Arrival(at=now - first, tokens=tokens))
        except (httpx2.TransportError, WireError) as error:
            return _paced(response, arrivals=tuple(arrivals), detail=str(error))
    return _paced(response, arrivals=tuple(arrivals), whole=reading.ended)


def _paced(response: httpx2.Response, **seen: Any) -> Paced:
    return Paced(
        **{"arrivals": (), "whole": False, **seen},
        status=response.status_code,
        headers=dict(response.headers),
        http_version=response.http_version,
    )


async def _measure_silence(http: httpx2.AsyncClient, seconds: float) -> Silent:
    asked = {"message": "Hi", "model": f"simulated/n1-f{round(seconds * 1000)}"}
    began = time.monotonic()
    reading = _Reading()
    seen: dict[str, Any] = {"status": None}
    try:
        async with http.stream("POST", _PATH, json=asked) as response:
            seen["status"] = response.status_code
            async for data in response.aiter_bytes():
                reading.feed(data)
    except (httpx2.TransportError, WireError) as error:
        seen["detail"] = str(error) or type(error).__name__
    return Silent(asked_s=seconds, lasted_s=time.monotonic() - began, whole=reading.ended, **seen)


class _Frame(msgspec.Struct):
    tokens: int = 0
    done: bool = False
    finish_reason: str | None = None


class _Reading:
    """A stream in the delta format, read for its tokens; `ended` once its finish has come."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.ended = False

    def feed(self, data: bytes) -> int:
        """How many tokens these bytes finish."""
        frames = [frame.data for frame in self._decoder.feed(data) if frame.data.startswith("{")]
        try:
            said = [msgspec.json.decode(frame, type=_Frame) for frame in frames]
        except msgspec.MsgspecError as error:
            raise WireError(f"a frame of the delta format was expected: {error}") from None
        self.ended = self.ended or any(frame.finish_reason is not None for frame in said)
        return sum(frame.tokens for frame in said)
