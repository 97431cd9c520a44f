"""The streams that are there already: listed, read from a cursor on, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import DELTA, Dialect, choose_variant, find_dialect
from tailrace.errors import RequestError, StoreError
from tailrace.generation import Generations
from tailrace.ledger import Ledger, Row, read_cursor, write_cursor
from tailrace.settings import StreamSettings
from tailrace.streamlog import Face, Mark, RingLog, face_of
from tailrace.web.auth import Caller, owner_name
from tailrace.web.cursors import Place, locate, parse_place
from tailrace.web.delivery import Delivery
from tailrace.web.exchanges import answer_json, own_headers, request_id
from tailrace.web.feed import STREAM_HEADERS, Feed, Head, Headers, StreamFeed, WholeFeed
from tailrace.web.sessions import read_limit
from tailrace.web.states import describe, outline

_DEFAULT_LIMIT: Final = 50
_MOST: Final = 500
_APPEARS_S: Final = 5.0
_RETRY: Final = b"retry: 2000\n\n"


class Streams:
    """What callers may do with their own streams; an admin with all."""

    def __init__(self, generations: Generations, ledger: Ledger, settings: StreamSettings) -> None:
        self._generations = generations
        self._ledger = ledger
        self._settings = settings

    async def find(self, stream_id: str, caller: Caller) -> RingLog | None:
        """The caller's stream with this id, while it is kept. Raises StoreError."""
        log = await self._generations.find(stream_id)
        return log if log is not None and caller.owns(log.owner, log.session_id) else None

    async def await_log(self, stream_id: str, caller: Caller) -> RingLog | None:
        """The same, of a stream that another worker may have begun just now: its row is seen before its log is.

        Raises StoreError where the log does not come, though the row says that it is being written.
        """
        deadline = time.monotonic() + _APPEARS_S
        while (log := await self.find(stream_id, caller)) is None and await self._is_running(stream_id, caller):
            if time.monotonic() > deadline:
                raise StoreError(f"the stream {stream_id} runs, and can't be read")
            await asyncio.sleep(_APPEARS_S / 100)
        return log

    async def await_more(self, log: RingLog) -> None:
        """Wait a moment for the next entry of a log that another worker writes; of our own we have them all."""
        with contextlib.suppress(StoreError):
            await self._generations.reach(log, log.tail + 1)

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

    async def attach(
        self, request: Request, log: RingLog, dialect: Dialect, place: Place, *, empty: bool = False
    ) -> Response:
        """A stream from a cursor on. Raises RequestError 400 for a cursor that can't be.

        Where nothing is left it is 204, or with `empty` a stream without any event.
        """
        if place.frames and (log.dialect != dialect.name or not dialect.has_ids):
            message = f"this cursor is none of the format {dialect.name}: resume after a whole entry"
            raise RequestError(400, "bad_cursor", message)
        try:
            await self._generations.reach(log, place.seq + bool(place.frames))
        except StoreError:
            return try_again(request)
        if (rest := locate(place, log)) is None:
            if not empty:
                return Response(status_code=204)
            rest = Place(log_id=log.id, seq=log.tail)
        feed = StreamFeed(log, dialect, head=_head(request, log), after=rest.seq, frames=rest.frames)
        return Delivery(feed, settings=self._settings)

    async def resume(self, request: Request, caller: Caller, dialect: Dialect) -> Response | None:
        """A generating request that carries a cursor resumes and never generates.

        204 where nothing is left, or the stream is gone, or is not the caller's: after any other answer an EventSource
        would come again, or fail for good.
        """
        cursor = request.headers.get("last-event-id")
        if not cursor:
            return None
        place = parse_place(cursor)
        try:
            log = await self.find(place.log_id, caller)
            if log is None:
                # One that runs will be there: its worker writes it again as soon as it can
                runs = await self._is_running(place.log_id, caller)
                return try_again(request) if runs else Response(status_code=204)
        except StoreError:
            return try_again(request)
        return await self.attach(request, log, choose_variant(dialect, log.dialect), place)

    async def stop(self, request: Request, log: RingLog) -> Response:
        """End a stream, if it still runs; its state."""
        await self._generations.cancel(log)
        return answer_json(outline(face_of(log)), request)

    async def forget(self, log: RingLog) -> None:
        """End a stream, if it still runs, and delete it. Raises StoreError."""
        await self._generations.cancel(log)
        await self._generations.forget(log.id)

    # Routes

    async def list(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/streams`, newest first."""
        limit = read_limit(request, default=_DEFAULT_LIMIT, most=_MOST)
        cursor = request.query_params.get("cursor")
        faces = await self._list(caller, limit=limit + 1, after=None if cursor is None else read_cursor(cursor))
        page = faces[:limit]
        follows = write_cursor(_mark_of(page[-1])) if len(faces) > limit else None
        return answer_json({"data": [outline(face) for face in page], "next_cursor": follows}, request)

    async def read(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/streams/{id}`: its state, or the stream itself where that is accepted."""
        try:
            log = await self._get(request, caller)
        except StoreError:
            if not accepts_stream(request.headers.get("accept", ""), DELTA):
                raise
            return try_again(request)
        dialect = find_dialect(request.query_params.get("format", log.dialect))
        if not accepts_stream(request.headers.get("accept", ""), dialect):
            return answer_json(describe(log), request)
        return await self.attach(request, log, dialect, _place(request, log))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/streams/{id}/cancel`: the same answer each time."""
        return await self.stop(request, await self._get(request, caller))

    async def _get(self, request: Request, caller: Caller) -> RingLog:
        stream_id = request.path_params["stream_id"]
        log = await self.find(stream_id, caller)
        if log is not None:
            return log
        row = await self._row(stream_id, caller)
        if row is not None and row.status == "running":
            raise StoreError(f"the stream {stream_id} runs, and can't be read yet")
        if row is not None:
            raise RequestError(410, "stream_gone", f"the stream {stream_id} is kept no longer")
        raise RequestError(404, "stream_not_found", f"there is no stream {stream_id[:80]!r}")

    async def _row(self, stream_id: str, caller: Caller) -> Row | None:
        """What is known of the caller's stream without its log: the ledger outlives every log."""
        row = await self._ledger.row(stream_id)
        return row if row is not None and caller.owns(owner_name(row.scope), row.session_id) else None

    async def _is_running(self, stream_id: str, caller: Caller) -> bool:
        row = await self._row(stream_id, caller)
        return row is not None and row.status == "running"

    async def _list(self, caller: Caller, *, limit: int, after: Mark | None) -> Sequence[Face]:
        """The caller's streams from behind a mark on: those that are kept, and what memory knows better."""
        owner = None if caller.admin else caller.name
        kept = await self._generations.store.list(owner, limit=limit, after=after)
        live = [face_of(log) for log in self._generations.ring if after is None or _mark_of(log) < after]
        faces = {face.id: face for face in (*kept, *live) if caller.owns(face.owner, face.session_id)}
        return sorted(faces.values(), key=_mark_of, reverse=True)[:limit]


def _mark_of(log: Face | RingLog) -> Mark:
    return log.created_at, log.id


def try_again(request: Request) -> Response:
    """A stream that ends at once: the one answer after which every EventSource comes back."""
    response = Response(_RETRY, media_type="text/event-stream")
    response.raw_headers += [*STREAM_HEADERS, *own_headers(request)]
    return response


def accepts_stream(accept: str, dialect: Dialect) -> bool:
    """Whether a stream is asked for: by any stream's name, or by that of the format's own kind."""
    return "text/event-stream" in accept or dialect.media_type.partition(";")[0] in accept


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
