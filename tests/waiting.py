"""Waits for what must happen: looks again and again until a deadline, and says what it was looking for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.upstream import DEADLINE_S

T = TypeVar("T")


async def until(happened: Callable[[], object], *, within: float = DEADLINE_S) -> None:
    """Return as soon as `happened()` is true; fail after `within` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while not happened():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not happen within {within:g} s: {_source(happened)}")
        await asyncio.sleep(0.002)


async def eventually(
    look: Callable[[], Awaitable[T]], wanted: Callable[[T], object], *, within: float = DEADLINE_S
) -> T:
    """Look from outside until what is seen is as wanted, and return it; fail after `within` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while not wanted(seen := await look()):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"after {within:g} s there is still {seen!r}")
        await asyncio.sleep(0.01)
    return seen


def _source(happened: Callable[[], object]) -> str:
    code = happened.__code__
    return f"the condition at {code.co_filename}:{code.co_firstlineno}"
