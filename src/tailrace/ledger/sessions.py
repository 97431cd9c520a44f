"""Conversations: their turns in order, their titles, and what happens to them when a generation begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.errors import RequestError
from tailrace.ledger.base import Page, Scope, SessionInfo, Turn
from tailrace.ledger.cursors import Place, make_page
from tailrace.ledger.database import Query, Work
from tailrace.ledger.texts import make_title

TITLE_LENGTH: Final = 60

_OF_SESSION: Final = """session =
    (SELECT number FROM sessions WHERE key_id = :key_id AND user_name = :user_name AND sessions.id = :id)"""

_USE: Final = Query("""-- Begin a conversation or go on with it; one without a title takes this one.
    INSERT INTO sessions (key_id, user_name, id, title, created_at, updated_at)
    VALUES (:key_id, :user_name, :id, :title, :now, :now)
    ON CONFLICT (key_id, user_name, id) DO UPDATE SET updated_at = excluded.updated_at,
        title = CASE WHEN sessions.title = '' THEN excluded.title ELSE sessions.title END
    RETURNING number""")

_TOUCH: Final = Query("""-- Say that a conversation was used, if there still is one.
    UPDATE sessions SET updated_at = :now WHERE key_id = :key_id AND user_name = :user_name AND id = :id
    RETURNING number""")

_LAST_PLACE: Final = Query("""-- The place of a conversation's last turn.
    SELECT coalesce(max(place), 0) FROM turns WHERE session = :session""")

_PLACE_OF: Final = Query("""-- The place of the last turn with this id.
    SELECT max(place) FROM turns WHERE session = :session AND id = :turn""")

_HAS_TURN: Final = Query(f"""-- Whether a conversation has a turn with this id.
    SELECT 1 FROM turns WHERE {_OF_SESSION} AND id = :turn LIMIT 1""")  # noqa: S608 - of our own words only

_CUT: Final = Query("""-- Drop the turns behind a place.
    DELETE FROM turns WHERE session = :session AND place > :place""")

_APPEND: Final = Query("""-- Add a turn.
    INSERT INTO turns (session, place, id, role, content, created_at, status, generation_id)
    VALUES (:session, :place, :id, :role, :content, :created_at, :status, :generation_id)""")

_HISTORY: Final = Query(f"""-- A conversation in order.
    SELECT id, role, content, created_at, status, generation_id FROM turns WHERE {_OF_SESSION}
    ORDER BY place""")  # noqa: S608

_LIST: Final = Query("""-- A holder's conversations, the last used first; not those of one stored response.
    SELECT id, title, created_at, updated_at FROM sessions WHERE key_id = :key_id AND user_name = :user_name
        AND substr(id, 1, 5) <> 'resp_'
    ORDER BY updated_at DESC, id DESC LIMIT :limit""")

_LIST_AFTER: Final = Query("""-- The same, behind a cursor.
    SELECT id, title, created_at, updated_at FROM sessions WHERE key_id = :key_id AND user_name = :user_name
        AND substr(id, 1, 5) <> 'resp_' AND (updated_at, id) < (:time, :id)
    ORDER BY updated_at DESC, id DESC LIMIT :limit""")

_DELETE: Final = Query("""-- Forget a conversation; its turns go with it.
    DELETE FROM sessions WHERE key_id = :key_id AND user_name = :user_name AND id = :id RETURNING number""")


class _Part(msgspec.Struct):
    """What a title needs of a turn's part."""

    type: str
    text: str = ""


_PARTS: Final = msgspec.json.Decoder(list[_Part])


def holder(scope: Scope) -> dict[str, str]:
    """Whose rows, in the words of the tables."""
    return {"key_id": scope.key_id or "", "user_name": scope.user or ""}


def has_turn(scope: Scope, session_id: str, turn_id: str) -> Work[bool]:
    """Whether the conversation has a turn with this id."""
    found = yield _HAS_TURN, {**holder(scope), "id": session_id, "turn": turn_id}
    return bool(found)


def continue_session(
    scope: Scope, session_id: str, turns: Sequence[Turn], *, after: str | None, now: float
) -> Work[None]:
    """Cut the conversation behind `after`, if that is named, and add the turns; the first use makes it."""
    number = yield from _use(scope, session_id, _title(turns), now)
    if after is None:
        found = yield _LAST_PLACE, {"session": number}
    else:
        found = yield _PLACE_OF, {"session": number, "turn": after}
        if found[0][0] is None:
            raise no_such_turn(after)
        yield _CUT, {"session": number, "place": found[0][0]}
    yield from _append(number, int(found[0][0]), turns)


def append_answer(scope: Scope, session_id: str, answer: Turn, now: float) -> Work[None]:
    """Add an answer, unless the conversation was deleted meanwhile."""
    found = yield _TOUCH, {**holder(scope), "id": session_id, "now": now}
    if found:
        number = found[0][0]
        last = yield _LAST_PLACE, {"session": number}
        yield from _append(number, int(last[0][0]), (answer,))


def no_such_turn(turn_id: str) -> RequestError:
    """The error for an `after` that names nothing."""
    return RequestError(404, "message_not_found", f"the session has no message {turn_id[:100]!r}", field="after")


def history(scope: Scope, session_id: str) -> Work[list[Turn]]:
    """The conversation in order."""
    found = yield _HISTORY, {**holder(scope), "id": session_id}
    return [_turn(row) for row in found]


def list_sessions(scope: Scope, limit: int, place: Place | None) -> Work[Page]:
    """A page of the holder's conversations, the last used first."""
    values = {**holder(scope), "limit": limit + 1}
    if place is None:
        found = yield _LIST, values
    else:
        found = yield _LIST_AFTER, {**values, "time": place[0], "id": place[1]}
    items = [SessionInfo(id=row[0], title=row[1], created_at=row[2], updated_at=row[3]) for row in found]
    return make_page(items, limit, lambda item: (item.updated_at, item.id))


def delete_session(scope: Scope, session_id: str) -> Work[bool]:
    """Forget the conversation; False where there is none."""
    found = yield _DELETE, {**holder(scope), "id": session_id}
    return bool(found)


def _use(scope: Scope, session_id: str, title: str, now: float) -> Work[int]:
    found = yield _USE, {**holder(scope), "id": session_id, "title": title, "now": now}
    return int(found[0][0])


def _append(number: int, last: int, turns: Sequence[Turn]) -> Work[None]:
    for place, turn in enumerate(turns, last + 1):
        yield _APPEND, {"session": number, "place": place, **msgspec.structs.asdict(turn)}


def _title(turns: Sequence[Turn]) -> str:
    return next((title for turn in turns if turn.role == "user" and (title := _title_of(turn))), "")


def _title_of(turn: Turn) -> str:
    try:
        parts = _PARTS.decode(turn.content)
    except msgspec.DecodeError:
        return ""
    return make_title(" ".join(part.text for part in parts if part.type == "text"), TITLE_LENGTH)


def _turn(row: Sequence[Any]) -> Turn:
    return Turn(id=row[0], role=row[1], content=bytes(row[2]), created_at=row[3], status=row[4], generation_id=row[5])
