"""The streams that are there already: listed, read from a cursor on, cancelled."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import Dialect, choose_variant, find_dialect
from tailrace.errors import RequestError, StreamError
from tailrace.generation import Generations
from tailrace.settings import StreamSettings
from tailrace.streamlog import RingLog
from tailrace.web.auth import Caller
from tailrace.web.cursors import Place, parse_place
from tailrace.web.delivery import Delivery
from tailrace.web.exchanges import answer_json, own_headers, request_id
from tailrace.web.feed import Feed, Head, Headers, StreamFeed, WholeFeed
from tailrace.web.states import describe


class Streams:
    """What callers may do with their own streams; an admin with all."""

    def __init__(self, generations: Generations, settings: StreamSettings) -> None:
        self._generations = generations
        self._settings = settings

    def find(self, stream_id: str, caller: Caller) -> RingLog | None:
        """The caller's stream with this id, while memory has it."""
        log = self._generations.ring.get(stream_id)
        return log if log is not None and caller.owns(log.owner, log.session_id) else None

    def deliver(
        self,
        request: Request,
        log: RingLog,
        dialect: Dialect,
        *,
        whole: bool = False,
        refusable: bool = False,
        id_first: bool = False,
        headers: Headers | None = None,
    ) -> Response:
        """A stream from its start."""
        head = _head(request, log, refusable=refusable, id_first=id_first, headers=headers)
        feed: Feed = (WholeFeed if whole else StreamFeed)(log, dialect, head=head)
        return Delivery(feed, settings=self._settings)

    def attach(self, request: Request, log: RingLog, dialect: Dialect, place: Place) -> Response:
        """A stream from a cursor on; 204 where nothing is left. Raises RequestError 400 for a cursor that can't be."""
        if place.frames and log.dialect != dialect.name:
            message = f"this cursor belongs to the format {log.dialect}, not {dialect.name}"
            raise RequestError(400, "bad_cursor", message)
        if place.seq + bool(place.frames) > log.tail:
            raise RequestError(400, "bad_cursor", f"the cursor is beyond the stream's last entry, {log.tail}")
        if log.terminal is not None and place.seq >= log.tail:
            return Response(status_code=204)
        feed = StreamFeed(log, dialect, head=_head(request, log), after=place.seq, frames=place.frames)
        return Delivery(feed, settings=self._settings)

    def resume(self, request: Request, caller: Caller, dialect: Dialect) -> Response | None:
        """A generating request that carries a cursor resumes and never generates: 204 where nothing is left."""
        cursor = request.headers.get("last-event-id")
        if not cursor:
            return None
        place = parse_place(cursor)
        log = self.find(place.log_id, caller)
        if log is None:
            return Response(status_code=204)
        return self.attach(request, log, choose_variant(dialect, log.dialect), place)

    # Routes

    async def list(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/streams`, newest first."""
        logs = [log for log in self._generations.ring if caller.owns(log.owner, log.session_id)]
        return answer_json({"data": [describe(log, with_text=False) for log in reversed(logs)]}, request)

    async def read(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/streams/{id}`: its state, or the stream itself where that is accepted."""
        log = self._get(request, caller)
        if "text/event-stream" not in request.headers.get("accept", ""):
            return answer_json(describe(log), request)
        dialect = find_dialect(request.query_params.get("format", log.dialect))
        return self.attach(request, log, dialect, _place(request, log))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/streams/{id}/cancel`: the same answer each time."""
        log = self._get(request, caller)
        if (generation := self._generations.get(log.id)) is not None:
            generation.stop(StreamError("cancelled", "the stream was cancelled"))
            await generation.ended()
        return answer_json(describe(log, with_text=False), request)

    def _get(self, request: Request, caller: Caller) -> RingLog:
        stream_id = request.path_params["stream_id"]
        log = self.find(stream_id, caller)
        if log is None:
            raise RequestError(404, "stream_not_found", f"there is no stream {stream_id[:80]!r}")
        return log


def _place(request: Request, log: RingLog) -> Place:
    """`Last-Event-ID`, else `?after=SEQ`, else the beginning."""
    if cursor := request.headers.get("last-event-id"):
        place = parse_place(cursor)
        if place.log_id != log.id:
            raise RequestError(400, "bad_cursor", "the Last-Event-ID is of another stream")
        return place
    after = request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 10):
        raise RequestError(400, "bad_cursor", f"after must be an entry's number, not {after[:40]!r}", field="after")
    return Place(log_id=log.id, seq=int(after))


def _head(
    request: Request,
    log: RingLog,
    *,
    refusable: bool = False,
    id_first: bool = False,
    headers: Headers | None = None,
) -> Head:
    return Head(
        request_id=request_id(request),
        headers=[(b"x-tailrace-stream", log.id.encode()), *(headers or ()), *own_headers(request)],
        refusable=refusable,
        id_first=id_first,
    )
