"""Files as locks: held by one, until it dies."""

from __future__ import annotations

from pathlib import Path

from tailrace.ledger.locks import FileOwners, LockFile, new_owner


def test_a_file_is_held_by_one(tmp_path: Path) -> None:
    """Who holds it holds it alone, those who share do so together, and it is free when they let go."""
    first, second, third = (LockFile(tmp_path / "lock") for _ in range(3))
    assert first.take()
    assert not second.take()
    assert not second.take(shared=True)
    first.release()
    assert second.take(shared=True)
    assert third.take(shared=True)
    assert not first.take()
    second.release()
    third.release(remove=True)
    assert not (tmp_path / "lock").exists()
    assert first.take()
    first.release()


async def test_a_name_is_claimed_when_it_is_free(tmp_path: Path) -> None:
    """The names of the living are not free; those of the dead are, and those that were never there."""
    living, looking = (FileOwners(tmp_path / "db", shared=True) for _ in range(2))
    await living.take()
    await looking.take()
    name = await living.current()
    async with looking.claim(name) as free:
        assert not free
    await living.release()
    for dead in (name, new_owner()):
        async with looking.claim(dead) as free:
            assert free
    await looking.release()
    assert list((tmp_path / "db.owners").iterdir()) == []
