"""The conversations of stored responses last while they are used, and no longer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest
from tests.ledger.installation import SqliteInstallation
from tests.ledger.specimens import SCOPE, begun, settlement, turn

from tailrace.errors import RequestError
from tailrace.ledger import Ledger
from tailrace.requests import user_message
from tailrace.web.archive import Archive, turns_of

DAY_S: Final = 86_400.0
ROOT, MIDDLE, LEAF, BRANCH = (f"{number:024x}" for number in range(4))


async def respond(ledger: Ledger, name: str, *, days_ago: float, previous: str | None = None, says: str = "Ho") -> None:
    """Store a response of this age, which goes on from another; one that `says` nothing failed."""
    then = time.time() - days_ago * DAY_S
    link = None if previous is None else f"resp_{previous}"
    turns = turns_of([user_message(f"Hi {name}")], previous=link, now=then)
    await begun(ledger, id=f"gen_{name}", session_id=f"resp_{name}", turns=turns, created_at=then)
    answer = turn(says, role="assistant", generation_id=f"gen_{name}") if says else None
    await ledger.settle(settlement(f"gen_{name}", answer=answer, settled_at=then))


async def test_a_conversation_lasts_while_it_is_used(tmp_path: Path) -> None:
    """What a response goes on from is kept with it, all the way back; a branch that nobody used is forgotten."""
    installation = SqliteInstallation(tmp_path)
    ledger = await installation.open()
    await respond(ledger, ROOT, days_ago=60)
    await respond(ledger, MIDDLE, days_ago=59, previous=ROOT, says="")
    await respond(ledger, LEAF, days_ago=58, previous=MIDDLE)
    await respond(ledger, BRANCH, days_ago=57, previous=ROOT)
    gone_on = await Archive(ledger).go_on(SCOPE, f"resp_{LEAF}", now=time.time())
    # One that opens is one that looks at once for what has expired
    archive = Archive(await installation.open())
    assert await archive.recall(SCOPE, f"resp_{LEAF}") == gone_on
    assert [found.generation_id for found in gone_on] == [None, f"gen_{ROOT}", None, None, f"gen_{LEAF}"]
    assert not await archive.holds(SCOPE, f"resp_{BRANCH}")
    await installation.close()


async def test_what_is_referred_to_is_used(tmp_path: Path) -> None:
    """A response is kept from the last reference to one of its items on, too."""
    installation = SqliteInstallation(tmp_path)
    ledger = await installation.open()
    await respond(ledger, ROOT, days_ago=60)
    found = await Archive(ledger).find_items(SCOPE, [f"msg_{ROOT}0000", f"msg_{LEAF}0000"], now=time.time())
    assert list(found) == [f"msg_{ROOT}0000"]
    assert await Archive(await installation.open()).holds(SCOPE, f"resp_{ROOT}")
    await installation.close()


async def test_what_is_read_is_not_used(tmp_path: Path) -> None:
    """A response whose conversation is only looked at expires, and what went on from it can't be gone on from."""
    installation = SqliteInstallation(tmp_path)
    ledger = await installation.open()
    await respond(ledger, ROOT, days_ago=60)
    await respond(ledger, LEAF, days_ago=20, previous=ROOT)
    await Archive(ledger).recall(SCOPE, f"resp_{LEAF}")
    archive = Archive(await installation.open())
    with pytest.raises(RequestError, match=f"resp_{ROOT}") as refused:
        await archive.go_on(SCOPE, f"resp_{LEAF}", now=time.time())
    assert (refused.value.status, refused.value.field) == (400, "previous_response_id")
    await installation.close()
