"""What the providers that speak HTTP share: one exchange, from the request's body to the answer's end."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from tailrace.errors import UpstreamError, WireError
from tailrace.providers.answers import AnswerReader
from tailrace.providers.base import Finish, Provider, Sink
from tailrace.providers.framing import BodyFraming, EventFraming, Framing
from tailrace.providers.payloads import parse_loosely
from tailrace.providers.refusals import MAX_REFUSAL, mask, refuse
from tailrace.providers.transport import Reply, check_headers, create_transport
from tailrace.requests import ChatRequest

EVENT_STREAM: Final = "text/event-stream"
JSON: Final = "application/json"


class HttpProvider(Provider):
    """A provider that asks with one POST and reads events out of the answer's body.

    `headers` are added to every request and take the place of its own of the same name. The key, and what `headers`
    hold, never leave in an error's message. Raises ValueError for a base URL, proxy or header that can't be used.
    """

    _chat_path: ClassVar[str]
    _models_path: ClassVar[str]
    _accept: ClassVar[str] = EVENT_STREAM

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str | None = None,
        default_model: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        connect_s: float = 10.0,
        proxy: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.name = name
        self.default_model = default_model
        self._transport = create_transport(base_url, connect_s=connect_s, proxy=proxy, ca_file=ca_file)
        self._host = urlsplit(base_url).hostname or ""
        self._headers = _override(self._own_headers(api_key), headers)
        check_headers(self._headers)
        self._asking = self._ask_with({})
        self._secrets = [api_key or "", *headers.values(), *_credentials(headers)]

    async def open(self) -> None:
        await self._transport.open()

    async def close(self) -> None:
        await self._transport.close()

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        """As the contract says.

        Raises RequestError too: the request asks for what this format can't say, so it is refused, never thinned out.
        """
        answer = _Answer(sink, lambda headers: self._choose_reader(headers, request))
        body, headers = self._write(request), self._headers_for(request)
        try:
            await self._transport.exchange("POST", self._chat_path, headers=headers, body=body, receiver=answer)
        except UpstreamError as error:
            # Servers are seen to drop the connection instead of ending the body: it was whole if they said so before.
            if error.code != "upstream_cut" or not answer.complete:
                raise self._sign(error) from None
        try:
            return answer.finish()
        except UpstreamError as error:
            raise self._sign(error) from None

    async def models(self) -> list[str]:
        try:
            reply = await self._transport.fetch("GET", self._models_path, headers=self._headers)
            return self._read_models(_parse_reply(reply))
        except UpstreamError as error:
            raise self._sign(error) from None

    @abstractmethod
    def _own_headers(self, api_key: str | None) -> dict[str, str]:
        """The headers that this format asks of every request."""

    @abstractmethod
    def _write(self, request: ChatRequest) -> bytes:
        """The request's body. Raises RequestError for what the upstream can't do."""

    @abstractmethod
    def _reader(self, framing: Framing, *, model: str, now: float) -> AnswerReader:
        """A reader for one answer."""

    @abstractmethod
    def _read_models(self, listing: Any) -> list[str]:
        """The names in the parsed answer to the question for models."""

    def _ask_with(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a request that needs these beside those of all."""
        return _override({"content-type": JSON, "accept": self._accept, **headers}, self._headers)

    def _choose_framing(self, media_type: str) -> Framing | None:
        """How a body of this type is cut, None if it is none that may come. An answer without a type is a stream."""
        if media_type in {EVENT_STREAM, ""}:
            return EventFraming()
        return BodyFraming() if media_type == JSON else None

    def _choose_reader(self, headers: Mapping[str, str], request: ChatRequest) -> AnswerReader:
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        framing = self._choose_framing(media_type)
        if framing is None:
            raise UpstreamError("upstream_invalid", f"answered with {media_type} where {self._accept} was asked for")
        reader = self._reader(framing, model=request.model, now=time.time())
        reader.keeps_frames = request.reads == self.kind
        return reader

    def _headers_for(self, request: ChatRequest) -> Mapping[str, str]:
        """The headers of this request."""
        return self._asking

    def _sign(self, error: UpstreamError) -> UpstreamError:
        return UpstreamError(
            error.code,
            f"{self.name}: {mask(error.message, self._secrets)}",
            status=error.status,
            retry_after=error.retry_after,
            retryable=error.retryable,
            field=error.field,
        )


class _Answer:
    """Receives one answer: events for the sink, or the body of a refusal."""

    def __init__(self, sink: Sink, choose_reader: Callable[[Mapping[str, str]], AnswerReader]) -> None:
        self._sink = sink
        self._choose_reader = choose_reader
        self._reader: AnswerReader | None = None
        self._finish: Finish | None = None
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._refusal = bytearray()

    def response_started(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._headers = status, headers
        if 200 <= status < 300:
            self._reader = self._choose_reader(headers)

    def body_received(self, data: bytes) -> bool:
        reader = self._reader
        if reader is None:
            self._refusal += data
            if len(self._refusal) >= MAX_REFUSAL:
                raise self._refused()
            return False
        self._sink(reader.feed(data))
        if reader.done:
            # A failure raised here closes the connection at once, where True would wait for the body's end.
            self._finish = reader.finish()
        return reader.done

    @property
    def complete(self) -> bool:
        """Whether what came is all that matters, even if the body never ended."""
        return self._reader.complete if self._reader else self._status > 0

    def finish(self) -> Finish:
        """The body has ended. Raises UpstreamError for a refusal or a broken answer."""
        if self._finish is not None:
            return self._finish
        if self._reader is None:
            raise self._refused()
        if events := self._reader.flush():
            self._sink(events)
        return self._reader.finish()

    def _refused(self) -> UpstreamError:
        return refuse(self._status, self._headers, bytes(self._refusal[:MAX_REFUSAL]))


def names_in(listing: Any, key: str, name: str) -> list[str]:
    """The names in a list of objects under `key`, none twice. Raises UpstreamError where there is no such list."""
    items = listing.get(key) if isinstance(listing, dict) else None
    if not isinstance(items, list):
        raise UpstreamError("upstream_invalid", f"answered the question for models without a list under {key!r}")
    names = (item.get(name) for item in items if isinstance(item, dict))
    return list(dict.fromkeys(found for found in names if isinstance(found, str)))


def _parse_reply(reply: Reply) -> Any:
    if reply.status != 200:
        raise refuse(reply.status, reply.headers, reply.body[:MAX_REFUSAL])
    try:
        return parse_loosely(reply.body)
    except WireError as error:
        raise UpstreamError("upstream_invalid", str(error)) from None


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """What stands behind the scheme in the headers that authorize: upstreams echo it without."""
    return [value.split()[-1] for name, value in headers.items() if "authorization" in name.lower() and value.strip()]


def _override(own: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    taken = {name.lower() for name in added}
    return {**{name: value for name, value in own.items() if name not in taken}, **added}
