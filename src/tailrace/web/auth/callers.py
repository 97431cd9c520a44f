"""Who asks, and what that lets them do."""

from __future__ import annotations

from typing import Final

import msgspec

from tailrace.errors import RequestError
from tailrace.keys import ADMIN_ID
from tailrace.ledger import Key, Scope

LOCAL: Final = Key(id="local", name="local", created_at=0.0, admin=True)
"""Whoever asks in open mode."""

ADMIN: Final = Key(id=ADMIN_ID, name="admin", created_at=0.0, admin=True)
"""The key that settings give."""

APPLICATION: Final = Key(id="app", name="app", created_at=0.0)
"""Stands above the users of an application that identifies them itself."""


def owner_name(scope: Scope) -> str:
    """The owner of the streams of this key and user, in one text. No key's id holds a slash."""
    return scope.key_id or "" if scope.user is None else f"{scope.key_id}/{scope.user}"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a key, below it the application's user if one is named, and what a browser token leaves of that.

    `session_id` and `models` are the token's restrictions, None where it has none or there is no token. The key has an
    allow-list of its own; `AllowLists` checks both.
    """

    key: Key
    user: str | None = None
    by_token: bool = False
    session_id: str | None = None
    models: tuple[str, ...] | None = None

    @property
    def admin(self) -> bool:
        """Whether this caller sees everything; a token never makes an admin, whoever's it is."""
        return self.key.admin and not self.by_token

    @property
    def name(self) -> str:
        """The owner of this caller's streams."""
        return owner_name(self.scope)

    @property
    def scope(self) -> Scope:
        """Whose conversations and idempotency keys this caller's are."""
        return Scope(key_id=self.key.id, user=self.user)

    @property
    def usage_scope(self) -> Scope:
        """Whose usage this caller sees: its own, everyone's for an admin."""
        return Scope() if self.admin else self.scope

    def owns(self, owner: str, session_id: str | None = None) -> bool:
        """Whether a stream of this owner (`name`), made in this session, is this caller's to see and to cancel."""
        if self.admin:
            return True
        return owner == self.name and self.session_id in (None, session_id)

    def choose_session(self, asked: str | None) -> str | None:
        """The session that a request is for: a token's own, where it is bound to one.

        Raises RequestError 403 for any other.
        """
        if self.session_id is None or asked in (None, self.session_id):
            return self.session_id or asked
        raise RequestError(403, "token_session", "this token is for another session", field="session_id")

    def refuse_token(self, what: str) -> None:
        """Raise RequestError 403 for a caller that came with a token: `what` takes a key."""
        if self.by_token:
            raise RequestError(403, "token_scope", f"a browser token is for chat alone; {what} needs a key")

    def require_admin(self, what: str) -> None:
        """Raise RequestError 403 for anyone but an admin."""
        if not self.admin:
            raise RequestError(403, "admin_only", f"{what} needs an admin key")
