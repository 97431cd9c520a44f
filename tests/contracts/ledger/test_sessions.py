"""What every ledger promises of conversations."""

from __future__ import annotations

import msgspec
import pytest
from tests.ledger.specimens import SCOPE, begun, opening, settlement, turn

from tailrace.errors import RequestError
from tailrace.ledger import Ledger, Opened, Scope
from tailrace.requests import Image, Text


async def test_a_conversation_is_kept_in_order(ledger: Ledger) -> None:
    """The client's turns are there once the generation has begun, the answer once it is settled, all in order."""
    asked, again, answer = turn("one"), turn("three"), turn("two", role="assistant", status="partial")
    first = await begun(ledger, session_id="s", turns=(asked,))
    assert await ledger.history(SCOPE, "s") == [asked]
    answer = msgspec.structs.replace(answer, generation_id=first)
    await ledger.settle(settlement(first, answer=answer))
    await begun(ledger, session_id="s", turns=(again,))
    assert await ledger.history(SCOPE, "s") == [asked, answer, again]


async def test_a_conversation_is_its_holder_s(ledger: Ledger) -> None:
    """The same session id under another key or user is another conversation."""
    await begun(ledger, session_id="s", turns=(turn("mine"),))
    for other in (Scope(key_id="k2"), Scope(key_id="k1", user="ann"), Scope()):
        assert await ledger.history(other, "s") == []
        assert not await ledger.delete_session(other, "s")
        assert await ledger.begin(opening(scope=other, session_id="s")) == Opened()
        assert len((await ledger.sessions(other, limit=9)).items) == 1


async def test_one_generation_at_a_time(ledger: Ledger) -> None:
    """A session with a running generation refuses another, naming the one that runs; its end frees the session."""
    first = await begun(ledger, session_id="s")
    with pytest.raises(RequestError) as error:
        await ledger.begin(opening(session_id="s", turns=(turn("dropped"),)))
    assert (error.value.status, error.value.code) == (409, "session_busy")
    assert first in error.value.message
    assert error.value.headers == {"x-tailrace-stream": first}
    await ledger.settle(settlement(first, status="aborted"))
    await begun(ledger, session_id="s")
    assert await ledger.history(SCOPE, "s") == []


async def test_after_cuts_what_follows(ledger: Ledger) -> None:
    """`after` drops all behind the message it names, and the new turns take its place."""
    turns = tuple(turn(str(number)) for number in range(4))
    await ledger.settle(settlement(await begun(ledger, session_id="s", turns=turns)))
    edited = turn("edited")
    await begun(ledger, session_id="s", turns=(edited,), after=turns[1].id)
    assert await ledger.history(SCOPE, "s") == [*turns[:2], edited]


async def test_an_unknown_after_is_refused(ledger: Ledger) -> None:
    """`after` that names no message of this session is 404, and nothing is changed, not even begun."""
    other = turn("elsewhere")
    await begun(ledger, session_id="other", turns=(other,))
    for session_id in ("new", "other2"):
        with pytest.raises(RequestError) as error:
            await ledger.begin(opening(session_id=session_id, after=other.id, turns=(turn("x"),)))
        assert (error.value.status, error.value.code, error.value.field) == (404, "message_not_found", "after")
        assert await ledger.history(SCOPE, session_id) == []
        await begun(ledger, session_id=session_id)


async def test_sessions_are_listed_last_used_first(ledger: Ledger) -> None:
    """The list is in the order of use, in pages, and an answer counts as use."""
    for number in range(5):
        await begun(ledger, id=f"g{number}", session_id=f"s{number}", created_at=1000.0 + number)
    await ledger.settle(settlement("g0", answer=turn("a", role="assistant"), settled_at=2000.0))
    seen, cursor = [], None
    while True:
        page = await ledger.sessions(SCOPE, limit=2, cursor=cursor)
        seen += [found.id for found in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ["s0", "s4", "s3", "s2", "s1"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  two\r\n\tlines\u2028and\x00more ", "two lines and more"),
        ("x" * 61, "x" * 59 + "…"),
        ("x" * 60, "x" * 60),
        ("", ""),
    ],
)
async def test_a_session_s_title_is_its_first_words(ledger: Ledger, text: str, title: str) -> None:
    """The title is the first user text, in one line of at most 60 characters, and later turns leave it alone."""
    image = turn("", content=msgspec.json.encode([Image(url="https://x/y"), Text(text=text)]))
    await ledger.settle(settlement(await begun(ledger, session_id="s", turns=(turn("sys", role="system"), image))))
    (found,) = (await ledger.sessions(SCOPE, limit=1)).items
    assert found.title == title
    await begun(ledger, session_id="s", turns=(turn("later"),))
    (found,) = (await ledger.sessions(SCOPE, limit=1)).items
    assert found.title == (title or "later")


async def test_a_session_can_be_deleted_while_it_runs(ledger: Ledger) -> None:
    """Deleting forgets the turns at once; the running generation settles all the same, and its answer is dropped."""
    first = await begun(ledger, session_id="s", turns=(turn("secret"),))
    assert await ledger.delete_session(SCOPE, "s")
    assert not await ledger.delete_session(SCOPE, "s")
    with pytest.raises(RequestError):
        await ledger.begin(opening(session_id="s"))
    assert await ledger.settle(settlement(first, answer=turn("answer", role="assistant")))
    assert await ledger.history(SCOPE, "s") == []
    assert (await ledger.sessions(SCOPE, limit=9)).items == ()
    new = turn("new")
    await begun(ledger, session_id="s", turns=(new,))
    assert await ledger.history(SCOPE, "s") == [new]
