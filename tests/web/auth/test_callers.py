"""What a caller may do, with a key and with a token."""

from __future__ import annotations

import pytest

from tailrace.errors import RequestError
from tailrace.ledger import Key, Scope
from tailrace.web.auth import ADMIN, Caller

KEY = Key(id="k1", name="n", created_at=0.0)


def test_owners_never_meet() -> None:
    """Key and user make the owner of a stream; no two pairs make the same."""
    pairs = [("a", None), ("a", ""), ("a", "b"), ("a", "b/c"), ("b", "a"), ("b", None)]
    names = {Caller(key=Key(id=key, name="n", created_at=0.0), user=user).name for key, user in pairs}
    assert len(names) == len(pairs)


def test_streams_and_usage_are_ones_own() -> None:
    """A caller owns what its key and user made, in a token's session if it has one; an admin all of it."""
    caller = Caller(key=KEY, user="u")
    assert caller.owns("k1/u", "any")
    assert not caller.owns("k1")
    assert not caller.owns("k1/other")
    assert caller.scope == caller.usage_scope == Scope(key_id="k1", user="u")
    bound = Caller(key=KEY, user="u", by_token=True, session_id="s")
    assert bound.owns("k1/u", "s")
    assert not bound.owns("k1/u", "other")
    assert not bound.owns("k1/u", None)
    admin = Caller(key=ADMIN)
    assert admin.owns("k1/u")
    assert admin.usage_scope == Scope()
    assert admin.scope == Scope(key_id="admin")


def test_a_token_makes_no_admin() -> None:
    """A token of an admin's key sees what that key made, and manages nothing."""
    caller = Caller(key=ADMIN, by_token=True)
    assert not caller.admin
    assert not caller.owns("k1")
    assert caller.usage_scope == Scope(key_id="admin")
    with pytest.raises(RequestError) as caught:
        caller.require_admin("this")
    assert (caught.value.status, caught.value.code) == (403, "admin_only")
    with pytest.raises(RequestError) as caught:
        caller.refuse_token("this")
    assert (caught.value.status, caught.value.code) == (403, "token_scope")
    Caller(key=ADMIN).require_admin("this")
    Caller(key=KEY).refuse_token("this")


def test_a_token_stays_in_its_session() -> None:
    """Bound to a session it needs to name none, and may name no other."""
    free, bound = Caller(key=KEY), Caller(key=KEY, by_token=True, session_id="s")
    assert (free.choose_session(None), free.choose_session("x")) == (None, "x")
    assert (bound.choose_session(None), bound.choose_session("s")) == ("s", "s")
    with pytest.raises(RequestError) as caught:
        bound.choose_session("x")
    assert (caught.value.status, caught.value.field) == (403, "session_id")
