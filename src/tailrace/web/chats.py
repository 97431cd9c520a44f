"""Chats that name themselves: their clients have no cursor, and find an answer by the chat's own id."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import Dialect, choose_variant
from tailrace.errors import RequestError, StoreError
from tailrace.generation import Generations
from tailrace.streamlog import Face, RingLog
from tailrace.web.auth import Caller
from tailrace.web.streams import Streams


class Chats:
    """What callers may do with the chats that they began themselves; an admin too finds none but its own."""

    def __init__(self, generations: Generations, streams: Streams, dialect: Dialect) -> None:
        self._generations = generations
        self._streams = streams
        self._dialect = dialect

    async def resume(self, request: Request, caller: Caller) -> Response:
        """The answer under way, from its start; 204 where nothing is running."""
        log = await self._find(request.path_params["chat_id"], caller)
        if log is None or log.terminal is not None:
            return Response(status_code=204)
        return self._streams.deliver(request, log, choose_variant(self._dialect, log.dialect))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Stop the newest answer; the same answer each time."""
        chat_id = request.path_params["chat_id"]
        log = await self._find(chat_id, caller)
        if log is None:
            raise RequestError(404, "chat_not_found", f"there is no answer in the chat {chat_id[:80]!r}")
        return await self._streams.stop(request, log)

    async def _find(self, chat_id: str, caller: Caller) -> RingLog | None:
        """The newest answer in the caller's own chat. Raises StoreError."""
        ring = self._generations.ring
        live = [log for log in ring if log.chat_id == chat_id and log.owner == caller.name]
        known: list[RingLog | Face] = [*live, *await self._list_kept(chat_id, caller, needed=not live)]
        newest = max(known, key=lambda log: (log.created_at, log.id), default=None)
        return None if newest is None else await self._streams.find(newest.id, caller)

    async def _list_kept(self, chat_id: str, caller: Caller, *, needed: bool) -> Sequence[Face]:
        """The newest answer that is kept. While that can't be told, what memory has is good enough."""
        try:
            return await self._generations.store.list(caller.name, limit=1, chat_id=chat_id)
        except StoreError:
            if needed:
                raise
            return ()
