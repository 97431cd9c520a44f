"""Conversations that are kept: listed, read, forgotten."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from tailrace.errors import RequestError
from tailrace.ledger import Ledger, Page, Scope, Turn
from tailrace.web.auth import Caller
from tailrace.web.exchanges import answer_json

_DEFAULT_LIMIT: Final = 50
_MOST: Final = 500

_log = structlog.get_logger(__name__)


class Sessions:
    """What callers may do with their own conversations."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def list(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/sessions`, the last used first."""
        limit = read_limit(request, default=_DEFAULT_LIMIT, most=_MOST)
        if caller.session_id is None:
            page = await self._ledger.sessions(caller.scope, limit=limit, cursor=request.query_params.get("cursor"))
        else:
            page = await self._find(caller.scope, caller.session_id)
        data = [msgspec.to_builtins(session) for session in page.items]
        return answer_json({"data": data, "next_cursor": page.next_cursor}, request)

    async def read(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/sessions/{id}`: its messages in order."""
        session_id = _session_id(request, caller)
        turns = await self._ledger.history(caller.scope, session_id)
        if not turns:
            raise _not_found(session_id)
        return answer_json({"id": session_id, "messages": [_describe(turn) for turn in turns]}, request)

    async def delete(self, request: Request, caller: Caller) -> Response:
        """`DELETE /v1/sessions/{id}`; usage rows stay."""
        session_id = _session_id(request, caller)
        if not await self._ledger.delete_session(caller.scope, session_id):
            raise _not_found(session_id)
        return Response(status_code=204)

    async def _find(self, scope: Scope, session_id: str) -> Page:
        """The one conversation of a caller that is bound to it."""
        cursor: str | None = None
        while True:
            page = await self._ledger.sessions(scope, limit=_MOST, cursor=cursor)
            found = tuple(session for session in page.items if session.id == session_id)
            if found or page.next_cursor is None:
                return Page(items=found, next_cursor=None)
            cursor = page.next_cursor


def read_limit(request: Request, *, default: int, most: int) -> int:
    """`?limit=`. Raises RequestError 422 where it is no number from 1 to `most`."""
    text = request.query_params.get("limit", str(default))
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    raise RequestError(422, "invalid_field", f"limit must be 1 to {most}, not {text[:40]!r}", field="limit")


def _session_id(request: Request, caller: Caller) -> str:
    session_id: str = request.path_params["session_id"]
    if caller.session_id not in (None, session_id):
        raise _not_found(session_id)
    return session_id


def _not_found(session_id: str) -> RequestError:
    return RequestError(404, "session_not_found", f"there is no session {session_id[:80]!r}")


def _describe(turn: Turn) -> dict[str, Any]:
    """A message; its content is plain text where it is nothing else."""
    parts: list[dict[str, Any]] = msgspec.json.decode(turn.content)
    plain = all(part["type"] == "text" for part in parts)
    described = {
        "id": turn.id,
        "role": turn.role,
        "content": "".join(part["text"] for part in parts) if plain else parts,
        "created_at": turn.created_at,
        "status": turn.status,
    }
    return described if turn.generation_id is None else {**described, "generation_id": turn.generation_id}
